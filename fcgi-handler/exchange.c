#include "exchange.h"

#include "clock.h"
#include "exchange_core.h"
#include "exchange_path.h"
#include "exchange_request.h"
#include "exchange_response.h"

enum {
    QUIET_MS = 15000,  /* nothing heard of the client for so long: ask it */
    STALL_MS = 310000, /* the visitor takes none of what is here; the client gives up a little before, if it has the rest */
    LATE_MS = 2000     /* the client's own 504 says more: give it this long to come first */
};

/* --- messages --- */

void exchange_on_acknowledged(struct exchange *e, uint64_t received) {
    uint64_t before = e->body.acked;
    bool held_up = !e->wide && pg_outflow_room(&e->body) == 0 && !e->body.ended;
    if (!pg_outflow_ack(&e->body, received)) {
        exchange_fail_protocol(e, "the client acknowledged what was never sent");
        return;
    }
    /* Another life of the client may have to do it, as long as that can be. */
    if (e->state != EXCHANGE_RESPONDING && exchange_is_repeatable(e)) exchange_withdraw_copies(e);
    else exchange_free_open(e);
    if (held_up && e->body.acked > before && e->handler->wide_count < PG_WIDE_MAX) {
        e->wide = true;
        e->handler->wide_count++;
        pg_outflow_widen(&e->body, PG_WINDOW);
    }
    if (e->state == EXCHANGE_WAITING || e->body.acked > before) e->progress_ms = uv_now(&e->handler->loop);
    if (e->state == EXCHANGE_WAITING) {
        e->state = EXCHANGE_TAKEN;
        exchange_arm(e, EXCHANGE_WATCH_MS);
    }
    exchange_pump_body(e);
}

static void drop(struct handler *handler, const struct pg_envelope *envelope, const struct pg_id *exchange, const char *why) {
    struct pg_log_about about = {.tunnel = &envelope->tunnel, .exchange = exchange};
    handler->counters.dropped_messages++;
    pg_log(&handler->log, PG_LOG_WARN, &about, "message dropped: %s", why);
}

/* Over, on our side. The client may not know yet. A batch of acknowledgements is answered by a batch. */
static void tell_over(struct handler *handler, const struct pg_envelope *envelope, const struct pg_id *id,
                      const struct pg_frame *frame) {
    const struct pg_ack done = {.exchange = *id, .state = PG_ACK_DONE};
    if (frame->type == PG_ACK) acks_add(&handler->acks, envelope, &done);
    else if (frame->type != PG_RESET && !(frame->flags & PG_UNKNOWN))
        exchange_send_reset_to(handler, id, envelope, PG_NO_EXCHANGE, "no such exchange");
}

/* The exchange, if it is one of ours and of the sender's tunnel; and its way back. A client may only ever reach its own. NULL: the
 * message means nothing to it. */
static struct exchange *find_for(struct handler *handler, const struct pg_envelope *envelope, const struct pg_id *id,
                                 const struct pg_frame *frame, enum path_sender *sender) {
    struct exchange *e = exchange_find(handler, id);
    if (!e) {
        tell_over(handler, envelope, id, frame);
        return NULL;
    }
    if (!pg_id_equal(&e->tunnel, &envelope->tunnel) || e->state == EXCHANGE_COLLECTING) {
        drop(handler, envelope, id, "the exchange is not of this tunnel");
        return NULL;
    }
    bool unknown = frame->type == PG_RESUME && (frame->flags & PG_UNKNOWN);
    bool reset = frame->type == PG_RESET;
    bool not_here = unknown || (reset && pg_reset_reason(frame) == PG_NO_EXCHANGE);
    bool late = frame->type == PG_DATA && e->path.lost;        /* of a life before the one that was lost, it may be */
    if (e->path.taker == 0 && (not_here || late)) return NULL; /* nobody has it: the OPEN is pushed again */
    *sender = path_heard(&e->path, envelope);
    if (*sender == PATH_LOST) return NULL;
    if (*sender == PATH_FOREIGN) {
        if (e->response.ended) return NULL;                    /* it is all here */
        if (!path_is_way(&e->path, envelope)) exchange_ask(e); /* which of them lives? Redis knows */
        else if (unknown || reset) exchange_on_lost_life(e);
        else if (frame->type == PG_RESUME && exchange_adopt(e)) return e;
        return NULL;
    }
    if (*sender == PATH_CHANGED) exchange_note_change(e);
    if (*sender == PATH_STALE) return e;
    e->heard_ms = uv_now(&handler->loop);
    ways_heard(&handler->ways, envelope, e->heard_ms);
    return e;
}

static void on_ack(struct handler *handler, const struct pg_envelope *envelope, const struct pg_frame *frame) {
    size_t count = pg_ack_count(frame);
    enum path_sender sender;
    for (size_t i = 0; i < count; i++) {
        struct pg_ack ack = pg_ack_get(frame, i);
        struct exchange *e = find_for(handler, envelope, &ack.exchange, frame, &sender);
        if (e) exchange_on_acknowledged(e, ack.received);
    }
}

static void on_data(struct exchange *e, const struct pg_frame *frame, enum path_sender sender) {
    if (e->state == EXCHANGE_WAITING) exchange_on_acknowledged(e, e->body.acked); /* whoever answers has it */
    if (e->state != EXCHANGE_RESPONDING) {
        exchange_on_gap(e, sender, "the client sent response bytes before a head"); /* or the head is lost */
        return;
    }
    if (frame->offset > pg_inflow_received(&e->response) && !e->response.ended) {
        exchange_on_gap(e, sender, "the client sent response bytes out of place");
        return;
    }
    e->gaps = 0;
    exchange_take_body(e, frame->offset, frame->payload, frame->length, frame->flags & PG_END);
}

void exchange_on_message(struct handler *handler, const struct pg_envelope *envelope, const uint8_t *bytes, size_t length) {
    struct pg_frame frame;
    enum path_sender sender;
    const char *wrong = pg_frame_decode(bytes, length, &frame);
    if (!wrong && frame.type != PG_HEAD && frame.type != PG_DATA && frame.type != PG_ACK && frame.type != PG_RESET &&
        frame.type != PG_RESUME)
        wrong = "a type that no client may send";
    if (!wrong && !pg_id_equal(&frame.handler, &handler->process)) wrong = "for another handler";
    if (wrong) {
        drop(handler, envelope, NULL, wrong);
        return;
    }
    if (frame.type == PG_ACK) {
        on_ack(handler, envelope, &frame);
        return;
    }
    struct exchange *e = find_for(handler, envelope, &frame.exchange, &frame, &sender);
    if (!e) return;
    switch (frame.type) {
    case PG_HEAD: exchange_on_head(e, &frame); break;
    case PG_DATA: on_data(e, &frame, sender); break;
    case PG_RESET:
        if (!e->response.ended) exchange_on_reset(e, &frame); /* else it is all here */
        break;
    default: exchange_on_resume(e, &frame, sender); break;
    }
}

/* After the bus was away a tunnel's client may attach a little later than we are back. */
static bool in_grace(const struct handler *handler) {
    return handler->bus_up_ms && pg_bus_counters(handler->bus)->reconnects > 0 &&
           uv_now(&handler->loop) - handler->bus_up_ms < EXCHANGE_GRACE_MS;
}

/* It waits for its client, and not for the bus. */
static bool is_for_its_client(const struct exchange *e) {
    return e->open_queued || exchange_may_be_taken(e);
}

void exchange_on_open(struct handler *handler, const struct pg_id *id, enum pg_bus_result result) {
    struct exchange *e = exchange_find(handler, id);
    if (!e || e->state != EXCHANGE_WAITING) return;
    if (result != PG_BUS_OK && exchange_on_not_sent(e, result)) return;
    bool first = !is_for_its_client(e); /* else it was one more copy, of which nothing follows */
    switch (result) {
    case PG_BUS_OK:
        if (first) e->waiting_ms = uv_now(&handler->loop); /* for its client, and no longer for the bus */
        e->open_queued = e->open_listed = true;
        break;
    case PG_BUS_NO_TUNNEL:
        if (first && !in_grace(handler)) {
            exchange_fail(e, ANSWER_NO_TUNNEL, "");
            break;
        }
        e->open_pushed = e->open_listed = false;
        exchange_arm(e, EXCHANGE_NEW_ROUTE_MS);
        break;
    case PG_BUS_FULL:
        if (first) exchange_fail(e, ANSWER_OVERLOADED, "");
        break;
    case PG_BUS_NO_MEMORY:
        if (first) exchange_fail(e, ANSWER_BUS_UNAVAILABLE, "the message bus is out of memory");
        break;
    default:
        e->open_pushed = false; /* again when the bus is up; the client knows copies by their id */
        exchange_arm(e, EXCHANGE_RETRY_MS);
        break;
    }
}

/* --- time --- */

void exchange_on_gone(void *owner) {
    struct exchange *e = owner;
    exchange_withdraw(e);
    exchange_send_reset(e, e->body.ended ? PG_GONE : PG_BODY_BROKEN, "the visitor hung up");
    exchange_abandon(e);
}

static uint64_t sooner(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* How long until the exchange's deadline; 0 = now. Waiting is bounded from the start, a response from the request's last move. */
static uint64_t time_left(const struct exchange *e, uint64_t now) {
    const struct handler_config *config = &e->handler->config;
    uint64_t still = now - e->progress_ms, max;
    switch (e->state) {
    case EXCHANGE_COLLECTING: max = config->first_byte_timeout_ms; return still < max ? max - still : 0;
    case EXCHANGE_WAITING:
        max = is_for_its_client(e) ? config->wait_timeout_ms : config->path_timeout_ms;
        still = now - e->waiting_ms;
        return still < max ? max - still : 0;
    case EXCHANGE_TAKEN: max = config->first_byte_timeout_ms + LATE_MS; return still < max ? max - still : 0;
    case EXCHANGE_RESPONDING:
        if (e->response.held.length == 0) break;
        return still < STALL_MS ? STALL_MS - still : 0;
    }
    return UINT64_MAX;
}

static void on_deadline(struct exchange *e) {
    if (e->state == EXCHANGE_TAKEN) {
        exchange_send_reset(e, PG_TIMEOUT, "no first byte in time");
        exchange_fail(e, ANSWER_TIMEOUT, "");
    } else if (e->state == EXCHANGE_RESPONDING) {
        exchange_send_reset(e, PG_GONE, "the visitor does not read");
        exchange_break(e, "the visitor does not read", 25);
    } else if (e->state == EXCHANGE_COLLECTING) {
        exchange_fail(e, ANSWER_BAD_REQUEST, "the body did not come in time");
    } else {
        exchange_send_reset(e, PG_GONE, "nobody waits for it any more");
        exchange_fail(e, is_for_its_client(e) ? ANSWER_CLIENT_AWAY : ANSWER_BUS_UNAVAILABLE, "");
    }
}

/* Nothing heard for long: ask, and give up when the path does not come back. Returns false when the exchange is over. */
static bool check_path(struct exchange *e, uint64_t now) {
    uint64_t quiet = now - e->heard_ms;
    if (!e->path.taker || e->response.ended || quiet < QUIET_MS) return true;
    if (quiet < QUIET_MS + e->handler->config.path_timeout_ms) {
        e->asking = true;
        return true;
    }
    exchange_send_reset(e, PG_GONE, "the client did not answer");
    if (e->state == EXCHANGE_RESPONDING) exchange_break(e, "the client was lost", 19);
    else exchange_fail(e, pg_bus_is_up(e->handler->bus) ? ANSWER_CLIENT_AWAY : ANSWER_BUS_UNAVAILABLE, "");
    return false;
}

/* An OPEN that nobody acknowledges may have been lost on its way: again, ever less often. The client knows copies by their id.
 * Returns how long until the next time. */
static uint64_t push_again(struct exchange *e, uint64_t now) {
    if (e->open_pushed && now - e->pushed_ms >= e->again_ms) {
        if (exchange_is_straight(e)) ways_close(&e->handler->ways, &e->tunnel, e->straight.session, now);
        e->again_ms = sooner(2 * e->again_ms, EXCHANGE_AGAIN_MAX_MS);
        e->open_pushed = false;
    }
    if (!e->open_pushed) exchange_push_open(e);
    return e->open_pushed ? e->again_ms - (now - e->pushed_ms) : EXCHANGE_RETRY_MS;
}

void exchange_on_timer(uv_timer_t *timer) {
    struct exchange *e = timer->data;
    uint64_t now = uv_now(&e->handler->loop);
    uint64_t left = time_left(e, now);
    if (left == 0) {
        on_deadline(e);
        return;
    }
    if (!check_path(e, now)) return;
    visit_watch(e->visit);
    if (e->state == EXCHANGE_WAITING) left = sooner(left, push_again(e, now));
    uint64_t quiet = now - e->heard_ms;
    if (e->path.taker) left = sooner(left, quiet < QUIET_MS ? QUIET_MS - quiet : EXCHANGE_ASK_MS);
    if (e->asking) left = sooner(left, exchange_ask(e));
    exchange_arm(e, left);
    if (e->state == EXCHANGE_RESPONDING) exchange_tell(e);
    if (e->path.taker && !e->body.end_sent) exchange_pump_body(e);
}

void exchange_on_bus_up(struct handler *handler) {
    struct exchange *e, *next;
    struct tunnel *tunnel, *next_tunnel;
    handler->bus_up_ms = uv_now(&handler->loop);
    ways_forget(&handler->ways);
    HASH_ITER(hh, handler->exchanges, e, next) {
        e->open_listed = false;
        e->gaps = 0;
        /* Those that were pushed before, too: Redis may have come back empty. The client knows a second copy by its id. */
        if (e->state == EXCHANGE_WAITING) exchange_push_open(e);
    }
    /* What was on its way to us may be lost: whoever is attached still is asked; whoever attaches now tells by itself. */
    HASH_ITER(hh, handler->tunnels, tunnel, next_tunnel) {
        exchange_find_route(handler, tunnel, true);
    }
}

void exchange_end_all(struct handler *handler) {
    struct exchange *e, *next;
    HASH_ITER(hh, handler->exchanges, e, next) {
        exchange_withdraw(e);
        exchange_send_reset(e, PG_GONE, "the server is stopping");
        if (e->state == EXCHANGE_RESPONDING) exchange_break(e, "the server is stopping", 22);
        else exchange_fail(e, ANSWER_BUS_UNAVAILABLE, "the server is stopping");
    }
}

uint64_t exchange_count_waiting(const struct handler *handler) {
    uint64_t count = 0;
    for (const struct exchange *e = handler->exchanges; e; e = e->hh.next) count += e->state == EXCHANGE_WAITING;
    return count;
}
