#include "exchange_core.h"

#include "clock.h"
#include "exchange.h"
#include "http.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

void exchange_log(const struct exchange *e, enum pg_log_level level, const char *what, const char *detail, size_t detail_length) {
    struct pg_log_about about = {.tunnel = &e->tunnel, .exchange = &e->id};
    pg_log(&e->handler->log, level, &about, "%s%s%.*s", what, detail_length ? ": " : "", (int)detail_length, detail);
}

/* --- the tables --- */

struct exchange *exchange_find(struct handler *handler, const struct pg_id *id) {
    struct exchange *e;
    HASH_FIND(hh, handler->exchanges, id, sizeof *id, e);
    return e;
}

struct tunnel *exchange_find_tunnel(struct handler *handler, const struct pg_id *id) {
    struct tunnel *tunnel;
    HASH_FIND(hh, handler->tunnels, id, sizeof *id, tunnel);
    return tunnel;
}

struct tunnel *exchange_enter_tunnel(struct handler *handler, const struct pg_id *id) {
    struct tunnel *tunnel = exchange_find_tunnel(handler, id);
    if (!tunnel) {
        tunnel = calloc(1, sizeof *tunnel);
        if (!tunnel) return NULL;
        tunnel->id = *id;
        HASH_ADD(hh, handler->tunnels, id, sizeof tunnel->id, tunnel);
        if (!tunnel->hh.tbl) { /* HASH_NONFATAL_OOM */
            free(tunnel);
            return NULL;
        }
    }
    if (tunnel->in_flight >= handler->config.max_tunnel_in_flight) return NULL;
    tunnel->in_flight++;
    return tunnel;
}

void exchange_leave_tunnel(struct handler *handler, struct tunnel *tunnel) {
    if (--tunnel->in_flight > 0) return;
    HASH_DELETE(hh, handler->tunnels, tunnel);
    free(tunnel);
}

bool exchange_may_be_taken(const struct exchange *e) {
    return !pg_id_is_zero(&e->straight.broker);
}

bool exchange_is_straight(const struct exchange *e) {
    return exchange_may_be_taken(e) && !e->copies;
}

bool exchange_is_repeatable(const struct exchange *e) {
    return e->idempotent && (e->open_whole || e->body.acked == 0);
}

/* Out of the list, and out of the inbox of a broker that did not read it yet. False when Redis is away. */
static bool take_back(struct exchange *e) {
    const struct pg_envelope list = {.tunnel = e->tunnel};
    struct pg_bus *bus = e->handler->bus;
    if (exchange_may_be_taken(e) && !pg_bus_withdraw(bus, &e->straight, e->open, e->open_length)) return false;
    return exchange_is_straight(e) || pg_bus_withdraw(bus, &list, e->open, e->open_length);
}

void exchange_withdraw_copies(struct exchange *e) {
    if (e->copies && e->open && take_back(e)) e->copies = false;
}

void exchange_free_open(struct exchange *e) {
    exchange_withdraw_copies(e);
    e->handler->open_bytes -= e->open_room;
    free(e->open);
    e->open = NULL;
    e->open_length = e->open_room = 0;
}

static void on_timer_closed(uv_handle_t *timer) {
    free(timer->data);
}

/* The visit has been ended before, in whatever way fits. */
void exchange_end(struct exchange *e) {
    struct handler *handler = e->handler;
    HASH_DELETE(hh, handler->exchanges, e);
    DL_DELETE2(e->entry->exchanges, e, tunnel_previous, tunnel_next);
    if (e->wide_response) e->entry->wide_count--;
    exchange_leave_tunnel(handler, e->entry);
    exchange_free_open(e);
    if (e->wide) handler->wide_count--;
    pg_outflow_clear(&e->body);
    pg_inflow_clear(&e->response);
    free(e->held_head);
    handler->in_flight--;
    uv_close((uv_handle_t *)&e->timer, on_timer_closed);
    handler_check_drained(handler);
}

/* --- to the client --- */

void exchange_send_reset_to(struct handler *handler, const struct pg_id *exchange, const struct pg_envelope *path,
                            enum pg_reason reason, const char *sentence) {
    uint8_t frame[PG_FRAME_HEADER + 2 + PG_REASON_MAX];
    size_t length = pg_reset_put(frame + PG_FRAME_HEADER, reason, sentence);
    pg_frame_put(frame, &(struct pg_frame){.type = PG_RESET, .exchange = *exchange, .handler = handler->process, .length = length});
    pg_bus_send(handler->bus, &path->broker, path, frame, PG_FRAME_HEADER + length, NULL, 0);
}

void exchange_send_reset(struct exchange *e, enum pg_reason reason, const char *sentence) {
    if (e->path.known) exchange_send_reset_to(e->handler, &e->id, &e->path.way, reason, sentence);
    else if (exchange_may_be_taken(e)) exchange_send_reset_to(e->handler, &e->id, &e->straight, reason, sentence);
}

void exchange_send_resume(struct exchange *e, uint16_t flags) {
    if (e->state == EXCHANGE_RESPONDING) flags |= PG_HEAD_SEEN;
    if (e->response.ended) flags |= PG_END_SEEN;
    uint8_t frame[PG_FRAME_HEADER + PG_ID_SIZE] = {0};
    pg_frame_put(frame, &(struct pg_frame){.type = PG_RESUME,
                                           .exchange = e->id,
                                           .handler = e->handler->process,
                                           .offset = pg_inflow_received(&e->response),
                                           .length = PG_ID_SIZE,
                                           .flags = flags});
    pg_bus_send(e->handler->bus, &e->path.way.broker, &e->path.way, frame, sizeof frame, NULL, 0);
}

/* Nobody waits for the answer any more: takes an OPEN that no client has back. */
void exchange_withdraw(struct exchange *e) {
    if (e->state == EXCHANGE_WAITING && e->open_pushed) take_back(e);
}

/* --- endings --- */

void exchange_arm(struct exchange *e, uint64_t ms) {
    uv_timer_start(&e->timer, exchange_on_timer, ms, 0);
}

/* The exchange's line in the access log. */
static void log_over(const struct exchange *e, const char *outcome, unsigned status) {
    const struct access_line line = {.tunnel = &e->tunnel,
                                     .exchange = &e->id,
                                     .access = &e->access,
                                     .outcome = outcome,
                                     .status = status,
                                     .request_bytes = e->body_read,
                                     .response_bytes = pg_inflow_received(&e->response),
                                     .us = pg_clock_us() - e->started_us};
    if (e->handler->config.log_requests) access_write(&e->handler->log, &line);
}

static void log_refused(const struct handler *handler, enum answer answer) {
    const struct request *request = &handler->request;
    struct access access;
    access_remember(&access, request);
    access_write(&handler->log, &(struct access_line){.tunnel = request->kind == REQUEST_TUNNEL ? &request->tunnel : NULL,
                                                      .access = &access,
                                                      .outcome = answer_code(answer),
                                                      .status = answer_status(answer)});
}

void exchange_refuse(struct handler *handler, struct visit *visit, enum answer answer, const char *detail) {
    char buffer[VISIT_ANSWER_MAX];
    struct pg_text text = pg_text_in(buffer, sizeof buffer);
    const struct request *request = &handler->request;
    bool is_head = pg_http_is_head(request->open.method, request->open.method_length);
    handler->counters.answered[answer]++;
    if (handler->config.log_requests) log_refused(handler, answer);
    answer_write(&text, answer, detail, strlen(detail), request->wants_html, is_head);
    visit_answer(visit, text.data, text.length);
}

/* Ends an exchange that has sent nothing to the visitor yet. */
void exchange_fail_bytes(struct exchange *e, enum answer answer, const char *detail, size_t detail_length) {
    struct handler *handler = e->handler;
    char buffer[VISIT_ANSWER_MAX];
    struct pg_text text = pg_text_in(buffer, sizeof buffer);
    handler->counters.answered[answer]++;
    exchange_log(e, PG_LOG_INFO, answer_code(answer), detail, detail_length);
    log_over(e, answer_code(answer), answer_status(answer));
    answer_write(&text, answer, detail, detail_length, e->wants_html, e->is_head);
    visit_answer(e->visit, text.data, text.length);
    exchange_end(e);
}

void exchange_fail(struct exchange *e, enum answer answer, const char *detail) {
    exchange_fail_bytes(e, answer, detail, strlen(detail));
}

/* Ends an exchange whose head is out, so that it looks broken. A length says so by itself. */
void exchange_break(struct exchange *e, const char *why, size_t why_length) {
    bool has_length = e->head.content_length != PG_LENGTH_UNKNOWN || e->head.no_body;
    e->handler->counters.broken++;
    exchange_log(e, PG_LOG_WARN, "response broken off", why, why_length);
    log_over(e, "broken", e->head.status);
    visit_break(e->visit, has_length ? VISIT_BREAK_AT_ONCE : e->breaks);
    exchange_end(e);
}

void exchange_abandon(struct exchange *e) {
    e->handler->counters.visitors_gone++;
    exchange_log(e, PG_LOG_DEBUG, "the visitor hung up", "", 0);
    log_over(e, "visitor-gone", e->state == EXCHANGE_RESPONDING ? e->head.status : 0);
    exchange_end(e);
}

/* The client broke the protocol. */
void exchange_fail_protocol(struct exchange *e, const char *what) {
    exchange_send_reset(e, PG_PROTOCOL, what);
    if (e->state == EXCHANGE_RESPONDING) exchange_break(e, what, strlen(what));
    else exchange_fail(e, ANSWER_LOCAL_SERVICE, what);
}

void exchange_finish(struct exchange *e) {
    struct pg_ack done = {.exchange = e->id, .received = pg_inflow_received(&e->response), .state = PG_ACK_DONE};
    e->handler->counters.relayed++;
    acks_add(&e->handler->acks, &e->path.way, &done);
    exchange_log(e, PG_LOG_DEBUG, "relayed", "", 0);
    log_over(e, "relayed", e->head.status);
    exchange_end(e);
}
