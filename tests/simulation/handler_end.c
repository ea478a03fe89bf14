#include "handler_end.h"

#include "exchange_path.h"
#include "exchange_request.h"
#include "fcgi-handler/exchange.h"
#include "middle.h"
#include "virtual_time.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONG_MS = 3600000 }; /* nothing times out: who waits is served in the end */

/* A visitor's connection, as the web server passes it on. */
struct visit {
    struct world *world;
    struct request_plan *plan;
    const struct visit_events *events; /* NULL: not the exchange's, or no longer */
    void *owner;
    size_t sent; /* of the body, to the handler */
    bool sent_end;
    size_t wants; /* body bytes that are asked for */
    bool wants_body, wants_room, head_seen;
};

struct handler_end {
    struct world *world;
    struct handler handler;
    struct virtual_loop time;
    struct visit visits[REQUESTS_MAX];
};

/* --- what an exchange calls --- */

void handler_check_drained(struct handler *handler) {
    (void)handler;
}

void visit_take(struct visit *visit, const struct visit_events *events, void *owner) {
    visit->events = events;
    visit->owner = owner;
}

void visit_watch(struct visit *visit) {
    (void)visit;
}

size_t visit_read_now(struct visit *visit, uint8_t *to, size_t max, bool *end) {
    size_t left = visit->plan->request_length - visit->sent, most = left < max ? left : max;
    size_t length = chance(visit->world, 2) ? most : (size_t)below(visit->world, most + 1);
    memcpy(to, visit->plan->request + visit->sent, length);
    visit->sent += length;
    *end = visit->sent_end = length == left && chance(visit->world, 2);
    return length;
}

void visit_want_body(struct visit *visit, size_t max) {
    if (visit->wants_body || visit->sent_end || max == 0) wrong(visit->world, "body bytes are asked for that there cannot be");
    visit->wants_body = true;
    visit->wants = max;
}

static void end(struct visit *visit, enum outcome outcome) {
    if (visit->plan->outcome) wrong(visit->world, "a visit ends twice");
    visit->plan->outcome = outcome;
    visit->events = NULL;
}

static void pass_on(struct visit *visit, const uint8_t *bytes, size_t length) {
    struct request_plan *plan = visit->plan;
    if (plan->answered + length > plan->response_length || memcmp(bytes, plan->response + plan->answered, length) != 0)
        wrong(visit->world, "the visitor got other bytes");
    else plan->answered += length;
}

size_t visit_write(struct visit *visit, const uint8_t *bytes, size_t length) {
    if (visit->plan->outcome) wrong(visit->world, "bytes are written after the end");
    if (!visit->head_seen) {
        if (length < 18 || memcmp(bytes, "Status: 200 OK\r\n", 16) != 0 || memcmp(bytes + length - 4, "\r\n\r\n", 4) != 0)
            wrong(visit->world, "the response does not begin with its head");
        visit->head_seen = true;
        return length;
    }
    size_t taken = chance(visit->world, 4) ? (size_t)below(visit->world, length + 1) : length;
    pass_on(visit, bytes, taken);
    visit->wants_room = taken < length;
    return taken;
}

void visit_answer(struct visit *visit, const char *bytes, size_t length) {
    static const char mark[] = "X-Pipegate-Error: ";
    const char *error = memmem(bytes, length, mark, sizeof mark - 1), *body = memmem(bytes, length, "\r\n\r\n", 4);
    if (visit->head_seen || !body) wrong(visit->world, "an answer in the middle of another");
    if (error) {
        sscanf(error + sizeof mark - 1, "%31[a-z-]", visit->plan->error);
        end(visit, OUTCOME_FAILED);
        return;
    }
    if (!body) return;
    pass_on(visit, (const uint8_t *)body + 4, length - (size_t)(body + 4 - bytes));
    visit_finish(visit);
}

void visit_finish(struct visit *visit) {
    if (visit->plan->answered != visit->plan->response_length) wrong(visit->world, "the response is short");
    end(visit, OUTCOME_COMPLETE);
}

void visit_break(struct visit *visit, enum visit_break when) {
    (void)when;
    end(visit, OUTCOME_BROKEN);
}

/* --- the visitors --- */

static void begin(struct handler_end *end, struct visit *visit) {
    struct request_plan *plan = visit->plan;
    struct request *request = &end->handler.request;
    char target[3] = {'/', (char)('0' + (plan - end->world->requests)), 0};
    memset(request, 0, offsetof(struct request, text));
    request->kind = REQUEST_TUNNEL;
    request->tunnel = tunnel_id;
    request->has_body = plan->has_body;
    request->chunked = plan->has_body && !plan->known_length;
    request->open =
        (struct pg_open){.method = plan->idempotent ? "PUT" : "POST",
                         .method_length = plan->idempotent ? 3 : 4,
                         .target = target,
                         .target_length = 2,
                         .visitor = "",
                         .body_length = plan->has_body && plan->known_length ? plan->request_length : PG_LENGTH_UNKNOWN};
    plan->begun = true;
    exchange_begin(&end->handler, visit, &plan->id);
}

static void send_body(struct visit *visit) {
    const struct request_plan *plan = visit->plan;
    size_t left = plan->request_length - visit->sent, most = left < visit->wants ? left : visit->wants;
    size_t length = most && chance(visit->world, 3) ? 1 + (size_t)below(visit->world, most) : most;
    const uint8_t *bytes = plan->request + visit->sent;
    visit->sent += length;
    visit->sent_end = length == left && (length == 0 || chance(visit->world, 2));
    visit->wants_body = false;
    visit->events->on_body(visit->owner, bytes, length, visit->sent_end);
}

static bool move(struct handler_end *end_, struct visit *visit) {
    struct request_plan *plan = visit->plan;
    if (!plan->begun) {
        begin(end_, visit);
    } else if (!visit->events) {
        return false;
    } else if (plan->leaves && chance(visit->world, 40)) {
        const struct visit_events *events = visit->events;
        end(visit, OUTCOME_GONE);
        events->on_gone(visit->owner);
    } else if (visit->wants_body && (!visit->wants_room || chance(visit->world, 2))) {
        send_body(visit);
    } else if (visit->wants_room) {
        visit->wants_room = false;
        visit->events->on_room(visit->owner);
    } else {
        return false;
    }
    return true;
}

bool handler_visitor_moves(struct handler_end *end) {
    struct world *world = end->world;
    size_t first = (size_t)below(world, world->count);
    for (size_t i = 0; i < world->count; i++)
        if (move(end, &end->visits[(first + i) % world->count])) return true;
    return false;
}

/* --- what the bus tells --- */

void handler_takes(struct handler_end *end, const struct pg_envelope *envelope, const uint8_t *frame, size_t length) {
    exchange_on_message(&end->handler, envelope, frame, length);
}

void handler_on_open(struct handler_end *end, const struct pg_id *exchange, enum pg_bus_result result) {
    exchange_on_open(&end->handler, exchange, result);
}

void handler_on_route(struct handler_end *end, const struct pg_id *broker, uint64_t session) {
    exchange_on_route(&end->handler, &tunnel_id, broker, session);
}

void handler_on_routed(struct handler_end *end) {
    struct tunnel *tunnel = exchange_find_tunnel(&end->handler, &tunnel_id);
    if (tunnel) exchange_find_route(&end->handler, tunnel, true);
}

void handler_on_not_taken(struct handler_end *end, const struct pg_id *exchange, uint64_t session) {
    exchange_on_not_taken(&end->handler, exchange, session);
}

void handler_on_moved(struct handler_end *end, uint64_t session) {
    exchange_on_moved(&end->handler, &tunnel_id, session);
}

void handler_on_bus_up(struct handler_end *end) {
    exchange_on_bus_up(&end->handler);
}

/* --- its life --- */

static bool holds_too_much(const struct exchange *e) {
    return e->body.kept.length > PG_WINDOW || e->response.held.length > PG_WINDOW;
}

void handler_check(struct handler_end *end) {
    for (const struct exchange *e = end->handler.exchanges; e; e = e->hh.next)
        if (holds_too_much(e)) wrong(end->world, "an exchange of the handler holds more than a window");
}

void handler_turn(struct handler_end *end) {
    virtual_loop_turn(&end->time);
}

uint64_t handler_next(const struct handler_end *end) {
    return virtual_loop_next(&end->time);
}

bool handler_is_empty(const struct handler_end *end) {
    const struct handler *handler = &end->handler;
    return !handler->exchanges && !handler->tunnels && !handler->in_flight && !handler->open_bytes && !handler->wide_count;
}

void handler_show(const struct handler_end *end) {
    for (const struct exchange *e = end->handler.exchanges; e; e = e->hh.next)
        printf("handler, request %u: state %d, taken by life %u%s, sent %" PRIu64 ", acked %" PRIu64 "%s, received %" PRIu64
               ", passed %" PRIu64 "%s%s%s\n",
               e->id.bytes[1], e->state, e->path.taker, e->path.known ? "" : ", no way", e->body.sent, e->body.acked,
               e->body.end_sent ? ", all" : "", pg_inflow_received(&e->response), e->response.passed,
               e->response.ended ? ", all" : "", e->asking ? ", asking" : "", e->open_pushed ? ", pushed" : "");
}

struct handler_end *handler_start(struct world *world) {
    static struct handler_end only; /* too large to be made anew for each of thousands of runs */
    struct handler *handler = &only.handler;
    only.world = world;
    memset(handler, 0, offsetof(struct handler, request));
    handler->config = (struct handler_config){.max_in_flight = 100,
                                              .max_tunnel_in_flight = 100,
                                              .max_waiting = 100,
                                              .max_header = PG_HEAD_MAX,
                                              .wait_timeout_ms = LONG_MS,
                                              .first_byte_timeout_ms = LONG_MS,
                                              .path_timeout_ms = LONG_MS};
    handler->log = (struct pg_log){.program = "pg-handler", .level = PG_LOG_ERROR};
    handler->process = handler_id;
    handler->bus = middle_bus(world->middle);
    virtual_loop_init(&only.time, &handler->loop, world);
    acks_init(&handler->acks, &handler->loop, handler->bus, &handler->process);
    for (size_t i = 0; i < world->count; i++) only.visits[i] = (struct visit){.world = world, .plan = &world->requests[i]};
    return &only;
}

void handler_stop(struct handler_end *end) {
    acks_close(&end->handler.acks);
    virtual_loop_turn(&end->time);
}
