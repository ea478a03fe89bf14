#include "relay.h"

#include "clock.h"
#include "exchange_table.h"
#include "outgoing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ANSWER_MS = 200,          /* an OPEN without a response for so long is acknowledged (WIRE.md) */
    TICK_MS = 500,            /* granularity of deadlines, while anything runs */
    STALL_MS = 5 * 60 * 1000, /* nobody sends the request on, or takes the response */
    AGAIN_MS = 1000,          /* an announcement without an answer is repeated */
    ANNOUNCE_MS = 60 * 1000   /* a RESET older than this is announced no more: its handler has given up by then */
};

struct relay {
    struct relay_options options;
    struct local_service *service;
    struct exchange_table table;
    struct outgoing outgoing;
    size_t window;
    struct list unanswered; /* by age */
    uv_timer_t answer_timer;
    uv_timer_t tick_timer;
    uv_prepare_t turn;
    bool unsettled;        /* some exchange was announced and may not have been answered */
    uint64_t announced_ms; /* since when */
    bool ticking;          /* every TICK_MS, not only for the oldest finished exchange */
    bool draining;
    size_t open_handles; /* of uv's, and the local service */
    void (*on_closed)(void *owner);
};

static void complain(const struct relay *relay, const struct exchange *exchange, const char *what) {
    struct pg_log_about about = {.tunnel = relay->options.tunnel, .exchange = &exchange->id};
    pg_log(relay->options.log, PG_LOG_WARN, &about, "%s", what);
}

/* --- The end of an exchange --- */

/* The status that the visitor gets for a RESET (WIRE.md). */
static unsigned status_of(enum pg_reason reason) {
    return reason == PG_TIMEOUT ? 504 : reason == PG_OVERLOADED ? 503 : 502;
}

static void log_request(struct relay *relay, const struct exchange *exchange, unsigned status, const char *note) {
    struct request_log_entry entry = {.label = exchange->label,
                                      .status = status,
                                      .bytes = exchange->body_bytes,
                                      .us = pg_clock_us() - exchange->started_us,
                                      .note = note};
    request_log_add(relay->options.request_log, &entry);
}

static void cancel_local(struct exchange *exchange) {
    if (exchange->local) local_request_cancel(exchange->local);
    exchange->local = NULL;
}

/* All of it was sent. */
static void on_sent(struct exchange *exchange) {
    struct relay *relay = exchange->relay;
    if (exchange->state == EXCHANGE_FINISHED) return; /* it was sent again */
    if (exchange->reset) log_request(relay, exchange, status_of(exchange->reset), exchange->sentence);
    else log_request(relay, exchange, exchange->status, NULL);
    list_leave(&exchange->unanswered);
    exchange_ignore_request(exchange);
    exchange_table_finish(&relay->table, exchange, uv_now(relay->options.loop));
}

/* The handler wants to hear no more of it. */
static void forget(struct relay *relay, struct exchange *exchange, const char *note) {
    cancel_local(exchange);
    if (exchange->state != EXCHANGE_FINISHED) log_request(relay, exchange, exchange->status, note);
    exchange_table_forget(&relay->table, exchange);
}

/* We end it. */
static void reset(struct relay *relay, struct exchange *exchange, enum pg_reason reason, const char *sentence) {
    cancel_local(exchange);
    exchange->moved_ms = uv_now(relay->options.loop);
    exchange_reset(exchange, reason, sentence);
    outgoing_send(&relay->outgoing, exchange);
}

/* The other end broke the rules of WIRE.md. */
static void reset_protocol(struct relay *relay, struct exchange *exchange, const char *what) {
    char sentence[PG_REASON_MAX];
    snprintf(sentence, sizeof sentence, "pg-client ended the request: %s", what);
    complain(relay, exchange, sentence);
    reset(relay, exchange, PG_PROTOCOL, sentence);
}

/* --- What the local service does --- */

static bool on_head(void *owner, unsigned status, const struct pg_field *fields, size_t count, uint64_t expected) {
    struct exchange *exchange = owner;
    if (!exchange_set_head(exchange, status, fields, count, expected)) return false;
    list_leave(&exchange->unanswered); /* the head acknowledges the OPEN */
    outgoing_send(&exchange->relay->outgoing, exchange);
    return true;
}

static enum local_taken on_body(void *owner, const void *bytes, size_t length) {
    struct exchange *exchange = owner;
    enum exchange_added added = exchange_add(exchange, bytes, length);
    exchange->stuffed = added == EXCHANGE_FULL;
    exchange->moved_ms = uv_now(exchange->relay->options.loop);
    if (added == EXCHANGE_NO_MEMORY) return LOCAL_REFUSED;
    if (added == EXCHANGE_FULL) return LOCAL_LATER;
    outgoing_send(&exchange->relay->outgoing, exchange);
    return LOCAL_TAKEN;
}

static size_t on_want(void *owner, char *to, size_t room, bool *end) {
    struct exchange *exchange = owner;
    size_t length = exchange_read(exchange, to, room, end);
    exchange->hungry = length == 0 && !*end;
    exchange->moved_ms = uv_now(exchange->relay->options.loop);
    if (exchange_owes_ack(exchange)) outgoing_owe(&exchange->relay->outgoing, exchange);
    return length;
}

static void on_done(void *owner, const struct local_outcome *outcome) {
    struct exchange *exchange = owner;
    struct relay *relay = exchange->relay;
    exchange->local = NULL;
    exchange->moved_ms = uv_now(relay->options.loop);
    exchange->hungry = false;
    if (outcome->good) exchange_complete(exchange);
    else exchange_reset(exchange, outcome->reason, outcome->sentence);
    exchange_ignore_request(exchange);
    outgoing_send(&relay->outgoing, exchange);
    if (outcome->good && exchange_owes_ack(exchange)) outgoing_owe(&relay->outgoing, exchange);
}

/* --- Ways --- */

static void set_tick(struct relay *relay, uint64_t next_expiry_ms);

/* Tells the handler where it stands, and waits to be told the same before it goes on with the response. */
static void announce(struct relay *relay, struct exchange *exchange) {
    if (!relay->unsettled) relay->announced_ms = uv_now(relay->options.loop);
    relay->unsettled = true;
    if (!relay->ticking) set_tick(relay, 0);
    exchange->resume_wanted = true;
    exchange->held = exchange->head_sent || exchange->reset_sent;
    outgoing_owe(&relay->outgoing, exchange); /* credit that was lost on the way would be missed for ever */
    outgoing_send(&relay->outgoing, exchange);
}

/* --- Timers --- */

static void on_tick(uv_timer_t *timer);

static void on_answer_time(uv_timer_t *timer) {
    struct relay *relay = timer->data;
    uint64_t now = pg_clock_ms();
    while (!list_empty(&relay->unanswered)) {
        struct exchange *exchange = list_owner(relay->unanswered.next, struct exchange, unanswered);
        uint64_t due = exchange->started_us / 1000 + ANSWER_MS;
        if (due > now) {
            uv_timer_start(timer, on_answer_time, due - now, 0);
            return;
        }
        list_leave(&exchange->unanswered);
        outgoing_owe(&relay->outgoing, exchange);
    }
}

/* A RESUME, or the answer to it, may be lost as well. */
static void announce_again(struct relay *relay, uint64_t now) {
    if (!relay->unsettled || !relay->outgoing.link || now - relay->announced_ms < AGAIN_MS) return;
    relay->unsettled = false;
    for (struct exchange *exchange = relay->table.by_id; exchange; exchange = exchange->hh.next)
        if (exchange->held || exchange->gap) announce(relay, exchange);
}

/* While something runs deadlines are looked at often; else only the oldest finished exchange is waited for. */
static void set_tick(struct relay *relay, uint64_t next_expiry_ms) {
    uint64_t now = uv_now(relay->options.loop);
    relay->ticking = relay->table.live_count > 0 || relay->unsettled;
    if (relay->ticking) uv_timer_start(&relay->tick_timer, on_tick, TICK_MS, 0);
    else if (next_expiry_ms) uv_timer_start(&relay->tick_timer, on_tick, next_expiry_ms - now + TICK_MS, 0);
}

static void check_deadline(struct relay *relay, struct exchange *exchange, uint64_t now) {
    uint64_t waited = now - exchange->moved_ms;
    char sentence[PG_REASON_MAX];
    if (exchange->reset || !exchange->local) {
        if (waited > STALL_MS) forget(relay, exchange, "the handler is gone"); /* it took neither the rest nor a RESET */
        return;
    }
    if (exchange->state == EXCHANGE_REQUESTING && !exchange->hungry && waited > exchange->first_byte_timeout_ms) {
        snprintf(sentence, sizeof sentence, "%s sent no response within %u s", local_service_place(relay->service),
                 (exchange->first_byte_timeout_ms + 999) / 1000);
        reset(relay, exchange, PG_TIMEOUT, sentence);
    } else if (exchange->state == EXCHANGE_REQUESTING && exchange->hungry && waited > STALL_MS) {
        reset(relay, exchange, PG_TIMEOUT, "the rest of the request did not come");
    } else if (exchange->stuffed && waited > STALL_MS) {
        reset(relay, exchange, PG_BROKEN, "nobody took the response");
    }
}

static void on_tick(uv_timer_t *timer) {
    struct relay *relay = timer->data;
    uint64_t now = uv_now(relay->options.loop);
    struct list *at = relay->table.live.next;
    while (at != &relay->table.live) {
        struct exchange *exchange = list_owner(at, struct exchange, order);
        at = at->next; /* the exchange may be forgotten */
        check_deadline(relay, exchange, now);
    }
    announce_again(relay, now);
    set_tick(relay, exchange_table_expire(&relay->table, now));
}

/* The end of each loop turn: what came up together is done together. */
static void on_turn(uv_prepare_t *prepare) {
    struct relay *relay = prepare->data;
    local_service_run(relay->service);
    outgoing_fill(&relay->outgoing, on_sent);
    bool flushed = !relay->outgoing.link || link_is_flushed(relay->outgoing.link);
    if (relay->draining && relay->table.live_count == 0 && flushed) relay->options.on_idle(relay->options.owner);
}

/* --- What the handlers say --- */

/* NULL, or why such a body cannot be. */
static const char *check_body(const struct pg_frame *frame, const struct pg_open *open, enum local_body *body) {
    bool end = frame->flags & PG_END;
    bool chunked = frame->flags & PG_CHUNKED;
    bool known = open->body_length != PG_LENGTH_UNKNOWN;
    *body = end ? LOCAL_BODY_WHOLE : LOCAL_BODY_STREAM;
    if (known && open->body_length > INT64_MAX) return "the length of its body is out of range";
    if (known && (open->body_bytes > open->body_length || (end && open->body_bytes != open->body_length)))
        return "its body is not as long as it says";
    if (!known && !chunked) {
        *body = LOCAL_BODY_NONE;
        if (!end || open->body_bytes) return "it has a body of which it does not say how it ends";
    }
    return NULL;
}

/* There is no room for it; `sentence`: constant. */
static void refuse(struct relay *relay, const struct pg_frame *frame, const char *sentence) {
    exchange_table_refuse(&relay->table, &frame->exchange);
    outgoing_reset(&relay->outgoing, frame, PG_OVERLOADED, sentence);
}

static void start(struct relay *relay, const struct pg_frame *frame, const struct pg_open *open, enum local_body body) {
    struct exchange *exchange = exchange_new(frame, open, relay->window);
    if (!exchange || !exchange_table_add(&relay->table, exchange)) {
        if (exchange) exchange_free(exchange);
        refuse(relay, frame, "pg-client is out of memory");
        return;
    }
    exchange->relay = relay;
    exchange->started_us = pg_clock_us();
    exchange->moved_ms = uv_now(relay->options.loop);
    if (!relay->ticking) set_tick(relay, 0);
    if (body != LOCAL_BODY_STREAM) {
        exchange->request_ignored = true; /* libcurl has it; what may come again is known */
        exchange->request.passed = exchange->request.told = open->body_bytes;
        exchange->request.ended = true;
        list_append(&relay->unanswered, &exchange->unanswered);
        if (!uv_is_active((uv_handle_t *)&relay->answer_timer)) uv_timer_start(&relay->answer_timer, on_answer_time, ANSWER_MS, 0);
    } else {
        exchange_take(exchange, 0, open->body, open->body_bytes, false);
        outgoing_owe(&relay->outgoing, exchange); /* at once: the handler sends no more before it knows where to */
    }
    exchange->local = local_request_start(relay->service, open, body, exchange);
    if (!exchange->local) reset(relay, exchange, PG_OVERLOADED, "pg-client is out of memory");
}

static const char *take_open(struct relay *relay, const struct pg_frame *frame) {
    struct pg_open open;
    enum local_body body;
    const char *wrong = pg_open_decode(frame, &open);
    if (wrong) return wrong;
    struct exchange *known = exchange_table_find(&relay->table, &frame->exchange);
    if (known && known->reset && known->reset_sent) {
        known->reset_sent = false; /* it seems to be lost */
        outgoing_send(&relay->outgoing, known);
        return NULL;
    }
    if (known && known->head_told) {
        announce(relay, known); /* what the response said may be lost: the handler tells what it has */
        return NULL;
    }
    if (known) {
        outgoing_owe(&relay->outgoing, known);
        return NULL;
    }
    if (relay->draining || exchange_table_is_done(&relay->table, &frame->exchange)) return NULL;
    wrong = local_request_check(&open);
    if (!wrong) wrong = check_body(frame, &open, &body);
    if (wrong) {
        struct pg_log_about about = {.tunnel = relay->options.tunnel, .exchange = &frame->exchange};
        pg_log(relay->options.log, PG_LOG_WARN, &about, "a request was refused: %s", wrong);
        outgoing_reset(&relay->outgoing, frame, PG_PROTOCOL, wrong);
    } else if (relay->table.live_count >= relay->options.max_concurrent ||
               exchange_table_is_refused(&relay->table, &frame->exchange)) {
        refuse(relay, frame, "too many requests are in flight at the client");
    } else {
        start(relay, frame, &open, body);
    }
    return NULL;
}

static void take_data(struct relay *relay, const struct pg_frame *frame) {
    struct exchange *exchange = exchange_table_find(&relay->table, &frame->exchange);
    if (!exchange) {
        outgoing_reset(&relay->outgoing, frame, PG_NO_EXCHANGE, "pg-client does not know the request");
        return;
    }
    if (exchange->reset) return;
    switch (exchange_take(exchange, frame->offset, frame->payload, frame->length, frame->flags & PG_END)) {
    case EXCHANGE_TAKEN:
        exchange->moved_ms = uv_now(relay->options.loop);
        exchange->gap = false;
        if (exchange->local) local_request_wake(exchange->local, true, false);
        if (exchange_owes_ack(exchange)) outgoing_owe(&relay->outgoing, exchange);
        break;
    case EXCHANGE_KNOWN: outgoing_owe(&relay->outgoing, exchange); break;
    case EXCHANGE_MISSING:
        /* Lost with the way it came by: the handler is told from where to send again, once for all that follows. */
        if (!exchange->gap) announce(relay, exchange);
        exchange->gap = true;
        break;
    case EXCHANGE_WRONG: reset_protocol(relay, exchange, "more came of the request than may, or another end"); break;
    }
}

static void take_ack(struct relay *relay, const struct pg_frame *frame) {
    for (size_t i = 0; i < pg_ack_count(frame); i++) {
        struct pg_ack ack = pg_ack_get(frame, i);
        struct exchange *exchange = exchange_table_find(&relay->table, &ack.exchange);
        if (!exchange) continue;
        if (ack.state & PG_ACK_DONE) {
            forget(relay, exchange, "the visitor went away");
            continue;
        }
        uint64_t before = exchange->response.acked;
        bool held_up = exchange_wants_width(exchange);
        if (!exchange_acked(exchange, ack.received)) {
            reset_protocol(relay, exchange, "bytes were acknowledged that it has not sent");
            continue;
        }
        if (exchange->state == EXCHANGE_FINISHED) exchange_table_recount(&relay->table, exchange);
        if (exchange->response.acked > before) {
            exchange->moved_ms = uv_now(relay->options.loop);
            if (held_up) exchange_table_widen(&relay->table, exchange);
        }
        if (exchange->local) local_request_wake(exchange->local, false, true);
        outgoing_send(&relay->outgoing, exchange); /* there may be credit for what is here */
    }
}

static void take_resume(struct relay *relay, const struct pg_frame *frame) {
    struct exchange *exchange = exchange_table_find(&relay->table, &frame->exchange);
    bool is_answer = frame->flags & PG_ANSWER;
    if (!exchange) {
        if (!is_answer) outgoing_unknown(&relay->outgoing, frame);
        return;
    }
    if (frame->flags & PG_UNKNOWN) {
        forget(relay, exchange, "the visitor went away");
        return;
    }
    exchange->gap = false;
    if (!is_answer) exchange->resume_wanted = exchange->resume_answer = true;
    outgoing_owe(&relay->outgoing, exchange);
    if (exchange_resume(exchange, frame->offset, frame->flags & PG_HEAD_SEEN, frame->flags & PG_END_SEEN))
        outgoing_send(&relay->outgoing, exchange);
    else reset_protocol(relay, exchange, "it was asked to go on where it cannot");
}

static const char *take_reset(struct relay *relay, const struct pg_frame *frame) {
    struct pg_reset told;
    const char *wrong = pg_reset_decode(frame, &told);
    struct exchange *exchange = wrong ? NULL : exchange_table_find(&relay->table, &frame->exchange);
    if (!exchange) return wrong;
    const char *note = told.reason == PG_BODY_BROKEN ? "the visitor broke off the request" : "the visitor went away";
    if (told.reason == PG_PROTOCOL) {
        note = "the handler ended it";
        complain(relay, exchange, "the handler says that pg-client broke the protocol");
    }
    forget(relay, exchange, note);
    return NULL;
}

const char *relay_take(struct relay *relay, const struct pg_frame *frame) {
    switch (frame->type) {
    case PG_OPEN: return take_open(relay, frame);
    case PG_DATA: take_data(relay, frame); return NULL;
    case PG_ACK: take_ack(relay, frame); return NULL;
    case PG_RESUME: take_resume(relay, frame); return NULL;
    case PG_RESET: return take_reset(relay, frame);
    case PG_ATTACHED:
    case PG_GOAWAY:
    case PG_RESYNC:
    case PG_HEAD: break;
    }
    return "a type that a broker does not send";
}

void relay_announce(struct relay *relay) {
    uint64_t now = uv_now(relay->options.loop);
    for (struct exchange *exchange = relay->table.by_id; exchange; exchange = exchange->hh.next)
        if (!exchange->reset || exchange->state != EXCHANGE_FINISHED || exchange->ended_ms + ANNOUNCE_MS > now)
            announce(relay, exchange);
}

void relay_attach(struct relay *relay, struct link *link, size_t window) {
    relay->outgoing.link = link;
    relay->window = window;
    relay_announce(relay);
}

void relay_detach(struct relay *relay) {
    relay->outgoing.link = NULL;
}

void relay_room(struct relay *relay) {
    outgoing_fill(&relay->outgoing, on_sent);
}

void relay_drain(struct relay *relay) {
    relay->draining = true;
}

void relay_break_off(struct relay *relay) {
    struct list *at = relay->table.live.next;
    while (at != &relay->table.live) {
        struct exchange *exchange = list_owner(at, struct exchange, order);
        at = at->next;
        if (!exchange->reset) reset(relay, exchange, PG_BROKEN, "pg-client was stopped");
    }
}

size_t relay_live(const struct relay *relay) {
    return relay->table.live_count;
}

/* --- Birth and death --- */

static void on_part_closed(void *owner) {
    struct relay *relay = owner;
    if (--relay->open_handles > 0) return;
    void (*on_closed)(void *) = relay->on_closed;
    void *closed_owner = relay->options.owner;
    free(relay);
    if (on_closed) on_closed(closed_owner);
}

static void on_handle_closed(uv_handle_t *handle) {
    on_part_closed(handle->data);
}

struct relay *relay_new(const struct relay_options *options) {
    struct relay *relay = calloc(1, sizeof *relay);
    if (!relay) return NULL;
    relay->options = *options;
    relay->window = PG_WINDOW;
    exchange_table_init(&relay->table);
    outgoing_init(&relay->outgoing, options->instance);
    list_init(&relay->unanswered);
    struct local_service_options local = options->local;
    local.loop = options->loop;
    local.events = (struct local_events){.on_head = on_head, .on_body = on_body, .on_want = on_want, .on_done = on_done};
    relay->service = local_service_new(&local);
    if (!relay->service) {
        free(relay);
        return NULL;
    }
    uv_timer_init(options->loop, &relay->answer_timer);
    uv_timer_init(options->loop, &relay->tick_timer);
    uv_prepare_init(options->loop, &relay->turn);
    relay->answer_timer.data = relay->tick_timer.data = relay->turn.data = relay;
    relay->open_handles = 4;
    uv_prepare_start(&relay->turn, on_turn);
    return relay;
}

void relay_close(struct relay *relay, void (*on_closed)(void *owner)) {
    relay->on_closed = on_closed;
    for (struct exchange *exchange = relay->table.by_id; exchange; exchange = exchange->hh.next) cancel_local(exchange);
    exchange_table_free(&relay->table);
    local_service_close(relay->service, on_part_closed, relay);
    uv_close((uv_handle_t *)&relay->answer_timer, on_handle_closed);
    uv_close((uv_handle_t *)&relay->tick_timer, on_handle_closed);
    uv_close((uv_handle_t *)&relay->turn, on_handle_closed);
}
