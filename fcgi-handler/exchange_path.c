#include "exchange_path.h"

#include "exchange_request.h"

#include <utlist.h>

static const struct pg_envelope nowhere;

/* --- the client's position --- */

uint64_t exchange_ask(struct exchange *e) {
    uint64_t now = uv_now(&e->handler->loop), since = now - e->asked_ms;
    if (e->asked_ms && since < EXCHANGE_ASK_MS) return EXCHANGE_ASK_MS - since;
    exchange_find_route(e->handler, e->entry, false);
    exchange_send_resume(e, 0);
    e->asked_ms = now;
    return EXCHANGE_ASK_MS;
}

void exchange_ask_now(struct exchange *e) {
    e->asking = true;
    e->asked_ms = 0;
    exchange_arm(e, exchange_ask(e));
}

void exchange_on_gap(struct exchange *e, enum path_sender sender, const char *what) {
    if (sender == PATH_STALE || e->asking) return; /* it was under way when it was asked for */
    if (++e->gaps > EXCHANGE_GAPS_MAX) {
        exchange_fail_protocol(e, what);
        return;
    }
    exchange_ask_now(e);
}

void exchange_note_change(struct exchange *e) {
    struct handler *handler = e->handler;
    char detail[96];
    struct pg_text text = pg_text_in(detail, sizeof detail);
    uint64_t waited = uv_now(&handler->loop) - e->heard_ms;
    pg_text_add(&text, "session %llx, after %llu ms", (unsigned long long)e->path.way.session, (unsigned long long)waited);
    handler->counters.path_changes++;
    handler->counters.waited_ms += waited;
    exchange_log(e, PG_LOG_INFO, "goes on by another way", text.data, text.length);
}

void exchange_on_resume(struct exchange *e, const struct pg_frame *frame, enum path_sender sender) {
    struct pg_ack credit = {.exchange = e->id, .received = e->response.passed};
    struct handler_counters *counters = &e->handler->counters;
    uint64_t before = e->body.sent;
    if (sender == PATH_STALE) return; /* old news: it has told more by a newer way */
    if (frame->flags & PG_UNKNOWN) {
        if (e->response.ended) return; /* it is all here */
        if (e->state == EXCHANGE_RESPONDING) exchange_break(e, "the client no longer knows it", 29);
        else exchange_fail(e, ANSWER_CLIENT_LOST, "");
        return;
    }
    if (!pg_outflow_rewind(&e->body, frame->offset, frame->flags & PG_END_SEEN)) {
        exchange_fail_protocol(e, "the client resumed where it cannot be");
        return;
    }
    e->asking = false;
    counters->resumed++;
    if (e->body.sent < before) counters->resent_bytes += before - e->body.sent;
    if (!(frame->flags & PG_ANSWER)) exchange_send_resume(e, PG_ANSWER);
    if (acks_send_now(&e->handler->acks, &e->path.way, &credit)) e->response.told = e->response.passed;
    exchange_on_acknowledged(e, e->body.acked);
}

/* --- another life of the client --- */

static bool may_be_done_again(const struct exchange *e) {
    return e->state == EXCHANGE_TAKEN && e->open && exchange_is_repeatable(e);
}

void exchange_on_lost_life(struct exchange *e) {
    if (e->state == EXCHANGE_RESPONDING) {
        exchange_break(e, "the client was started anew", 27);
        return;
    }
    if (!may_be_done_again(e)) {
        exchange_fail(e, ANSWER_CLIENT_LOST, "");
        return;
    }
    e->handler->counters.dispatched_again++;
    exchange_log(e, PG_LOG_INFO, "dispatched again", "the client was started anew", 27);
    path_lose(&e->path);
    pg_outflow_rewind(&e->body, e->open_whole ? e->body.acked : 0, e->open_whole);
    exchange_withdraw_copies(e);
    e->straight = nowhere;
    e->open_queued = e->open_listed = e->stamped = e->asking = false; /* waits anew */
    e->again_ms = EXCHANGE_AGAIN_MS;
    e->waiting_ms = 0;
    e->progress_ms = e->heard_ms = uv_now(&e->handler->loop);
    exchange_push_open(e);
    exchange_arm(e, EXCHANGE_WATCH_MS);
}

bool exchange_adopt(struct exchange *e) {
    if (!may_be_done_again(e)) {
        exchange_send_reset(e, PG_GONE, "another client had it");
        exchange_on_lost_life(e);
        return false;
    }
    path_adopt(&e->path);
    e->heard_ms = uv_now(&e->handler->loop);
    return true;
}

/* --- where the client is attached --- */

void exchange_find_route(struct handler *handler, struct tunnel *tunnel, bool all) {
    uint64_t now = uv_now(&handler->loop);
    tunnel->ask_all = tunnel->ask_all || all;
    if (!all && tunnel->asked_ms && now - tunnel->asked_ms < EXCHANGE_ASK_MS) return;
    tunnel->asked_ms = now;
    pg_bus_find_route(handler->bus, &tunnel->id);
}

void exchange_on_route(struct handler *handler, const struct pg_id *id, const struct pg_id *broker, uint64_t session) {
    const struct pg_envelope way = {.tunnel = *id, .broker = *broker, .session = session};
    struct tunnel *tunnel = exchange_find_tunnel(handler, id);
    struct exchange *e, *next;
    if (!tunnel) return;
    bool all = tunnel->ask_all;
    tunnel->ask_all = false;
    DL_FOREACH_SAFE2(tunnel->exchanges, e, next, tunnel_next) {
        if (pg_id_is_zero(broker)) {
            if (!all || !e->path.taker || e->response.ended) continue;
            e->asking = true; /* from now on again and again, until somebody is attached */
            exchange_arm(e, EXCHANGE_ASK_MS);
        } else if (e->state == EXCHANGE_WAITING && e->open_pushed && !e->path.known && all) {
            e->open_listed = false;
            exchange_push_open(e); /* whoever had taken it may be gone with it */
        } else if (e->path.taker && !e->response.ended && (path_routed(&e->path, &way) || all)) {
            exchange_ask_now(e);
        }
    }
}

/* --- requests that were sent straight to a session --- */

static void forget_straight(struct exchange *e) {
    ways_close(&e->handler->ways, &e->tunnel, e->straight.session, uv_now(&e->handler->loop));
    e->straight = nowhere;
}

/* Nobody has it: by the list, unless it went there before. */
static void push_instead(struct exchange *e) {
    bool only = exchange_is_straight(e);
    forget_straight(e);
    if (!only) return;
    exchange_push_open(e);
    e->copies = false; /* there is this one */
}

void exchange_on_not_taken(struct handler *handler, const struct pg_id *id, uint64_t session) {
    struct exchange *e = exchange_find(handler, id);
    if (e && e->state == EXCHANGE_WAITING && exchange_may_be_taken(e) && e->straight.session == session) push_instead(e);
}

bool exchange_on_not_sent(struct exchange *e, enum pg_bus_result why) {
    if (exchange_may_be_taken(e) && why == PG_BUS_GONE) push_instead(e);
    else if (exchange_is_straight(e) && why == PG_BUS_NO_MEMORY) forget_straight(e);
    return why == PG_BUS_GONE; /* of what went into a list that is never said */
}

void exchange_on_moved(struct handler *handler, const struct pg_id *id, uint64_t session) {
    struct tunnel *tunnel = exchange_find_tunnel(handler, id);
    struct exchange *e, *next;
    ways_leave(&handler->ways, id, session);
    if (!tunnel) return;
    DL_FOREACH_SAFE2(tunnel->exchanges, e, next, tunnel_next) {
        if (e->state == EXCHANGE_WAITING && exchange_is_straight(e) && e->straight.session != session) exchange_push_open(e);
    }
}
