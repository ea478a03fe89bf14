#include "exchange_request.h"

#include "bytes.h"
#include "clock.h"
#include "exchange.h"
#include "exchange_response.h"
#include "http.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

enum {
    COLLECT_MAX = 12288, /* a body of known length up to this is sent with its OPEN, or not at all */
    OPEN_BYTES_MAX = 64 * 1024 * 1024
};

/* --- the request's body --- */

static void want_body(struct exchange *e);

static bool send_data(struct exchange *e, const uint8_t *bytes, size_t length, bool last) {
    uint8_t header[PG_FRAME_HEADER];
    pg_frame_put(header, &(struct pg_frame){.type = PG_DATA,
                                            .flags = last ? PG_END : 0,
                                            .offset = e->body.sent,
                                            .exchange = e->id,
                                            .handler = e->handler->process,
                                            .length = length});
    return pg_bus_send(e->handler->bus, &e->path.way.broker, &e->path.way, header, sizeof header, bytes, length);
}

/* Sends what the window allows, and reads on where there is room. */
void exchange_pump_body(struct exchange *e) {
    const uint8_t *bytes;
    size_t length;
    bool last;
    while (e->path.taker && pg_outflow_next(&e->body, PG_DATA_MAX, &bytes, &length, &last)) {
        if (!send_data(e, bytes, length, last)) {
            exchange_arm(e, EXCHANGE_RETRY_MS);
            break;
        }
        pg_outflow_sent(&e->body, length, last);
    }
    want_body(e);
}

static void want_body(struct exchange *e) {
    size_t room = pg_outflow_room(&e->body);
    if (e->reading || e->body.ended || room == 0) return;
    e->reading = true;
    visit_want_body(e->visit, room);
}

/* To where the client was heard a moment ago: once, for what is lost so goes by the list. */
static bool send_open_straight(struct exchange *e) {
    struct handler *handler = e->handler;
    bool first = !e->stamped && !e->path.lost && handler->in_flight < EXCHANGE_STRAIGHT_MAX;
    const struct pg_envelope *way = first ? ways_find(&handler->ways, &e->tunnel, uv_now(&handler->loop)) : NULL;
    if (!way || !pg_bus_open_straight(handler->bus, way, &e->id, e->open, e->open_length)) return false;
    e->straight = *way;
    e->waiting_ms = e->pushed_ms;
    return true;
}

/* From here on a client may take it, for as long as the visitor will wait. */
void exchange_push_open(struct exchange *e) {
    e->state = EXCHANGE_WAITING;
    e->pushed_ms = uv_now(&e->handler->loop);
    if (e->waiting_ms == 0) e->waiting_ms = e->pushed_ms;
    if (e->stamped) e->copies = true;
    /* The same bytes as long as they may be taken, so that they can be taken back: brokers drop what is past its deadline. */
    uint64_t now = pg_clock_unix_ms();
    uint8_t *deadline = e->open + PG_FRAME_HEADER;
    if (!e->stamped || pg_get_u64(deadline) < now) pg_put_u64(deadline, now + e->handler->config.wait_timeout_ms);
    e->open_pushed =
        send_open_straight(e) || pg_bus_open(e->handler->bus, &e->tunnel, &e->id, e->open_listed, e->open, e->open_length);
    e->stamped = e->stamped || e->open_pushed;
}

/* The whole body is known: it goes with the OPEN. */
static void seal_open(struct exchange *e, const uint8_t *body, size_t length) {
    struct pg_frame header;
    if (length) memcpy(e->open + e->open_length, body, length);
    e->open_length += length;
    header = (struct pg_frame){.type = PG_OPEN,
                               .flags = PG_END,
                               .exchange = e->id,
                               .handler = e->handler->process,
                               .length = e->open_length - PG_FRAME_HEADER};
    pg_frame_put(e->open, &header);
    e->body.acked = e->body.sent = e->body.top = length;
    e->body.ended = e->body.end_sent = e->body.end_told = true;
    e->open_whole = true;
}

static bool body_too_large(const struct exchange *e) {
    uint64_t max = e->handler->config.max_body;
    return max && e->body_read > max;
}

static void on_body(void *owner, const uint8_t *bytes, size_t length, bool last) {
    struct exchange *e = owner;
    e->reading = false;
    e->body_read += length;
    e->handler->counters.request_bytes += length;
    e->progress_ms = uv_now(&e->handler->loop);
    if (body_too_large(e)) {
        exchange_send_reset(e, PG_BODY_BROKEN, "the body is larger than the server's limit");
        if (e->state == EXCHANGE_RESPONDING) exchange_break(e, "body over the limit", 19);
        else exchange_fail(e, ANSWER_BODY_TOO_LARGE, "");
        return;
    }
    bool known = e->body_length != PG_LENGTH_UNKNOWN;
    if (known && (e->body_read > e->body_length || (last && e->body_read != e->body_length))) {
        exchange_send_reset(e, PG_BODY_BROKEN, "the visitor sent a body of another length than it said");
        if (e->state == EXCHANGE_RESPONDING) exchange_break(e, "request body broke off", 22);
        else exchange_fail(e, ANSWER_BAD_REQUEST, "the body is not as long as its Content-Length says");
        return;
    }
    if (!pg_outflow_append(&e->body, bytes, length)) { /* it was asked for within the room: memory is out */
        exchange_send_reset(e, PG_BODY_BROKEN, "out of memory");
        if (e->state == EXCHANGE_RESPONDING) exchange_break(e, "out of memory", 13);
        else exchange_fail(e, ANSWER_OVERLOADED, "");
        return;
    }
    if (e->state == EXCHANGE_COLLECTING) {
        if (!last) {
            want_body(e);
            return;
        }
        size_t collected;
        const uint8_t *body = pg_ring_peek(&e->body.kept, 0, &collected); /* never wrapped: nothing was dropped */
        seal_open(e, body, collected);
        pg_outflow_clear(&e->body);
        exchange_push_open(e);
        exchange_arm(e, EXCHANGE_WATCH_MS);
        return;
    }
    if (last) pg_outflow_end(&e->body);
    exchange_pump_body(e);
    if (last && e->held_head) exchange_on_room(e);
}

/* --- the beginning --- */

/* Writes the OPEN's head; room for `body` bytes behind it. */
static bool make_open(struct exchange *e, const struct request *request, size_t body) {
    struct handler *handler = e->handler;
    struct pg_open open = request->open;
    size_t head = pg_open_size(&open, request->fields, request->field_count);
    size_t room = PG_FRAME_HEADER + head + body;
    if (handler->open_bytes + room > OPEN_BYTES_MAX) return false;
    e->open = malloc(room);
    if (!e->open) return false;
    e->open_room = room;
    e->open_length = PG_FRAME_HEADER + head;
    handler->open_bytes += room;
    open.first_byte_timeout_ms = (uint32_t)handler->config.first_byte_timeout_ms;
    pg_open_put(e->open + PG_FRAME_HEADER, &open, request->fields, request->field_count);
    pg_frame_put(e->open, &(struct pg_frame){.type = PG_OPEN,
                                             .flags = request->chunked ? PG_CHUNKED : 0,
                                             .exchange = e->id,
                                             .handler = handler->process,
                                             .length = head});
    return true;
}

static const struct visit_events visit_events = {on_body, exchange_on_room, exchange_on_gone};

static struct exchange *new_exchange(struct handler *handler, struct visit *visit, const struct pg_id *id) {
    const struct request *request = &handler->request;
    struct exchange *e = calloc(1, sizeof *e);
    if (!e) return NULL;
    e->handler = handler;
    e->visit = visit;
    e->id = *id;
    e->tunnel = request->tunnel;
    e->body_length = request->open.body_length;
    e->again_ms = EXCHANGE_AGAIN_MS;
    e->idempotent = pg_http_is_idempotent(request->open.method, request->open.method_length);
    e->is_head = pg_http_is_head(request->open.method, request->open.method_length);
    e->wants_html = request->wants_html;
    e->breaks = request->breaks;
    e->head_ends_body = request->head_ends_body;
    e->started_us = pg_clock_us();
    if (handler->config.log_requests) access_remember(&e->access, request);
    e->progress_ms = e->heard_ms = uv_now(&handler->loop);
    pg_outflow_init(&e->body, PG_WINDOW_FIRST);
    pg_inflow_init(&e->response, PG_WINDOW);
    return e;
}

/* Reads a body that is all in the kernel's buffer already into scratch; false when it is not, or too large for an OPEN. */
static bool read_small_body(struct exchange *e, size_t room, size_t *length) {
    struct handler *handler = e->handler;
    bool last;
    *length = visit_read_now(e->visit, (uint8_t *)handler->scratch, room, &last);
    return last;
}

/* Makes the OPEN and sends it, with the body where that is here; else reads it first (a small one) or while the OPEN travels.
 * False, and *why, when that cannot be. */
static bool begin(struct exchange *e, struct request *request, enum answer *why) {
    size_t length = 0;
    bool known = request->open.body_length != PG_LENGTH_UNKNOWN;
    bool small = known && request->open.body_length <= COLLECT_MAX;
    bool whole = read_small_body(e, COLLECT_MAX, &length);
    e->body_read = length;
    if (body_too_large(e)) {
        *why = ANSWER_BODY_TOO_LARGE;
        return false;
    }
    if (!request->has_body) whole = true; /* its end may still be on the way, but nothing is before it */
    if (whole && !known && request->chunked) {
        request->open.body_length = length; /* counted: no need to send it in chunks */
        request->chunked = false;
    }
    if (!request->has_body && length > 0) { /* it said that there is none */
        *why = ANSWER_BAD_REQUEST;
        return false;
    }
    if (whole && request->open.body_length != PG_LENGTH_UNKNOWN && request->open.body_length != length) {
        *why = ANSWER_BAD_REQUEST;
        return false;
    }
    *why = ANSWER_OVERLOADED;
    if (!make_open(e, request, whole ? length : small ? (size_t)request->open.body_length : 0)) return false;
    e->handler->counters.request_bytes += length;
    if (whole) {
        seal_open(e, (const uint8_t *)e->handler->scratch, length);
        exchange_push_open(e);
        return true;
    }
    /* What was read of a body that turned out larger goes first. */
    if (!pg_outflow_append(&e->body, e->handler->scratch, length)) return false;
    if (small) e->state = EXCHANGE_COLLECTING;
    else exchange_push_open(e);
    return true;
}

void exchange_begin(struct handler *handler, struct visit *visit, const struct pg_id *id) {
    struct request *request = &handler->request;
    bool known = request->open.body_length != PG_LENGTH_UNKNOWN;
    if (known && handler->config.max_body && request->open.body_length > handler->config.max_body) {
        exchange_refuse(handler, visit, ANSWER_BODY_TOO_LARGE, "");
        return;
    }
    bool full = handler->in_flight >= handler->config.max_in_flight;
    struct tunnel *tunnel = full ? NULL : exchange_enter_tunnel(handler, &request->tunnel);
    if (!tunnel) {
        exchange_refuse(handler, visit, ANSWER_OVERLOADED, "");
        return;
    }
    enum answer why = ANSWER_OVERLOADED;
    struct exchange *e = new_exchange(handler, visit, id);
    if (e) HASH_ADD(hh, handler->exchanges, id, sizeof e->id, e);
    if (!e || !e->hh.tbl || !begin(e, request, &why)) { /* HASH_NONFATAL_OOM */
        if (e) {
            if (e->hh.tbl) HASH_DELETE(hh, handler->exchanges, e);
            exchange_free_open(e);
            pg_outflow_clear(&e->body);
        }
        free(e);
        exchange_leave_tunnel(handler, tunnel);
        exchange_refuse(handler, visit, why, "");
        return;
    }
    e->entry = tunnel;
    DL_APPEND2(tunnel->exchanges, e, tunnel_previous, tunnel_next);
    handler->in_flight++;
    uv_timer_init(&handler->loop, &e->timer);
    e->timer.data = e;
    visit_take(visit, &visit_events, e);
    exchange_arm(e, EXCHANGE_WATCH_MS);
    if (!e->body.ended) want_body(e);
}
