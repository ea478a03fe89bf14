#include "exchange_response.h"

#include "clock.h"

#include <stdlib.h>
#include <string.h>

/* Credit, once enough has gone to the visitor. */
void exchange_tell(struct exchange *e) {
    struct pg_ack ack = {.exchange = e->id, .received = e->response.passed};
    if (!pg_inflow_should_tell(&e->response)) return;
    if (acks_send_now(&e->handler->acks, &e->path.way, &ack)) e->response.told = e->response.passed;
    else exchange_arm(e, EXCHANGE_RETRY_MS);
}

/* nginx reads no more of a request once its response has begun. So the head waits for the end of the request, or of the response
 * (an early refusal), or until the client's window is full (it sends no part of a frame then) and the local service could say no more. */
static bool must_wait(const struct exchange *e) {
    return !e->body.ended && !e->response.ended && e->response.held.length <= PG_WINDOW_FIRST - PG_DATA_MAX;
}

/* False when the exchange ended. */
static bool write_head(struct exchange *e, const char *head, size_t length) {
    if (visit_write(e->visit, (const uint8_t *)head, length) == length) return true;
    exchange_send_reset(e, PG_GONE, "the web server does not read");
    exchange_break(e, "the web server does not take the head", 37);
    return false;
}

/* Passes on what is held. Ends the exchange at the end of the response. */
static void deliver(struct exchange *e) {
    const uint8_t *bytes;
    size_t length;
    if (e->held_head) {
        char *head = e->held_head;
        if (must_wait(e)) return;
        e->held_head = NULL;
        bool written = write_head(e, head, e->held_head_length);
        free(head);
        if (!written) return;
    }
    while ((bytes = pg_inflow_peek(&e->response, &length)) && length) {
        size_t written = e->head.no_body ? length : visit_write(e->visit, bytes, length);
        pg_inflow_pass(&e->response, written);
        if (written) e->progress_ms = uv_now(&e->handler->loop);
        if (written < length) break;
    }
    if (pg_inflow_done(&e->response)) {
        visit_finish(e->visit);
        exchange_finish(e);
    } else {
        exchange_tell(e);
    }
}

/* Body bytes of the response: passed on at once where the visitor can take them, else held. */
void exchange_take_body(struct exchange *e, uint64_t offset, const uint8_t *bytes, size_t length, bool last) {
    uint64_t before = pg_inflow_received(&e->response);
    uint64_t stop = offset + length, max = e->head.content_length;
    /* Before a byte of it is passed on: what follows a whole response would be taken for another one. */
    if (max != PG_LENGTH_UNKNOWN && (stop > max || (last && stop != max))) {
        exchange_fail_protocol(e, "the response is not as long as its Content-Length says");
        return;
    }
    if (offset == before && e->response.held.length == 0 && !e->response.ended && !e->held_head) {
        size_t through = e->head.no_body ? length : visit_write(e->visit, bytes, length);
        e->progress_ms = uv_now(&e->handler->loop);
        pg_inflow_through(&e->response, through, last && through == length);
        bytes += through;
        offset += through;
        length -= through;
    }
    if (length || (last && !e->response.ended)) {
        enum pg_inflow_result result = pg_inflow_take(&e->response, offset, bytes, length, last);
        if (result == PG_INFLOW_KNOWN) e->handler->counters.duplicates++;
        if (result == PG_INFLOW_GAP || result == PG_INFLOW_ERROR) {
            exchange_fail_protocol(e, "the client sent response bytes out of place");
            return;
        }
    }
    e->handler->counters.response_bytes += pg_inflow_received(&e->response) - before;
    if (e->response.wide &&
        !e->wide_response) { /* no client does that to more than PG_WIDE_MAX: it would be memory without bound */
        e->wide_response = true;
        if (++e->entry->wide_count > EXCHANGE_WIDE_MAX) {
            exchange_fail_protocol(e, "the client has more under way than it may");
            return;
        }
    }
    deliver(e);
}

void exchange_on_head(struct exchange *e, const struct pg_frame *frame) {
    struct handler *handler = e->handler;
    struct pg_text text = pg_text_in(handler->scratch, sizeof handler->scratch);
    struct pg_head head;
    bool whole = frame->flags & PG_END;
    const char *wrong = pg_head_decode(frame, &head);
    if (e->state == EXCHANGE_RESPONDING) { /* a second copy */
        e->handler->counters.duplicates++;
        return;
    }
    if (wrong) {
        exchange_fail_protocol(e, wrong);
        return;
    }
    wrong = response_write_head(&text, &head, whole, e->is_head, &e->head);
    if (wrong) {
        char detail[160];
        struct pg_text sentence = pg_text_in(detail, sizeof detail);
        pg_text_add(&sentence, "the local service's response is not valid: %s", wrong);
        exchange_send_reset(e, PG_MALFORMED, detail);
        exchange_fail(e, ANSWER_LOCAL_SERVICE, detail);
        return;
    }
    e->state = EXCHANGE_RESPONDING;
    exchange_free_open(e);
    pg_histogram_observe(&handler->counters.latency, pg_clock_us() - e->started_us);
    size_t body = e->head.no_body ? 0 : head.body_bytes;
    if (whole && text.length + body <= VISIT_ANSWER_MAX) {
        pg_text_add_bytes(&text, (const char *)head.body, body);
        visit_answer(e->visit, text.data, text.length);
        handler->counters.response_bytes += body;
        pg_inflow_through(&e->response, head.body_bytes, true);
        exchange_finish(e);
        return;
    }
    visit_watch(e->visit);
    if (e->head_ends_body && !e->body.ended) {
        e->held_head = malloc(text.length);
        if (!e->held_head) {
            exchange_fail_protocol(e, "out of memory");
            return;
        }
        memcpy(e->held_head, text.data, text.length);
        e->held_head_length = text.length;
    } else if (!write_head(e, text.data, text.length)) {
        return;
    }
    exchange_take_body(e, 0, head.body, head.body_bytes, whole);
}

void exchange_on_reset(struct exchange *e, const struct pg_frame *frame) {
    static const enum answer answers[] = {
        [PG_REFUSED] = ANSWER_LOCAL_SERVICE, [PG_MALFORMED] = ANSWER_LOCAL_SERVICE,   [PG_BROKEN] = ANSWER_LOCAL_SERVICE,
        [PG_TIMEOUT] = ANSWER_TIMEOUT,       [PG_NO_EXCHANGE] = ANSWER_CLIENT_LOST,   [PG_OVERLOADED] = ANSWER_OVERLOADED,
        [PG_GONE] = ANSWER_CLIENT_LOST,      [PG_BODY_BROKEN] = ANSWER_LOCAL_SERVICE, [PG_PROTOCOL] = ANSWER_LOCAL_SERVICE,
    };
    struct pg_reset reset;
    const char *wrong = pg_reset_decode(frame, &reset);
    if (wrong) {
        exchange_fail_protocol(e, wrong);
    } else if (e->state == EXCHANGE_RESPONDING) {
        exchange_break(e, reset.sentence, reset.sentence_length);
    } else {
        exchange_fail_bytes(e, answers[reset.reason], reset.sentence, reset.sentence_length);
    }
}

void exchange_on_room(void *owner) {
    deliver(owner);
}
