#include "exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t min_size(size_t a, size_t b) {
    return a < b ? a : b;
}

struct exchange *exchange_new(const struct pg_frame *frame, const struct pg_open *open, size_t window) {
    size_t method = min_size(open->method_length, EXCHANGE_LABEL_MAX / 4);
    size_t target = min_size(open->target_length, EXCHANGE_LABEL_MAX - 2 - method);
    struct exchange *exchange = calloc(1, sizeof *exchange + method + 1 + target + 1);
    if (!exchange) return NULL;
    exchange->id = frame->exchange;
    exchange->handler = frame->handler;
    exchange->window = pg_flow_first(window);
    exchange->window_max = window;
    exchange->request_length = open->body_length;
    exchange->first_byte_timeout_ms = open->first_byte_timeout_ms;
    pg_inflow_init(&exchange->request, window);
    /* Room for what libcurl brings at once beyond the window, which bounds what is sent. */
    pg_outflow_init(&exchange->response, exchange->window + PG_DATA_MAX);
    memcpy(exchange->label, open->method, method);
    exchange->label[method] = ' ';
    memcpy(exchange->label + method + 1, open->target, target);
    return exchange;
}

void exchange_free(struct exchange *exchange) {
    pg_inflow_clear(&exchange->request);
    pg_outflow_clear(&exchange->response);
    free(exchange->head);
    free(exchange->sentence);
    free(exchange);
}

static enum exchange_taken throw_away(struct exchange *exchange, uint64_t offset, size_t length, bool end) {
    struct pg_inflow *request = &exchange->request;
    uint64_t stop = offset + length;
    if (offset > request->passed) return EXCHANGE_MISSING;
    if (request->ended && (stop > request->passed || (end && stop != request->passed))) return EXCHANGE_WRONG;
    if (end && stop < request->passed) return EXCHANGE_WRONG;
    if (stop <= request->passed && (!end || request->ended)) return EXCHANGE_KNOWN;
    pg_inflow_through(request, (size_t)(stop - request->passed), end);
    return EXCHANGE_TAKEN;
}

enum exchange_taken exchange_take(struct exchange *exchange, uint64_t offset, const uint8_t *bytes, size_t length, bool end) {
    uint64_t stop = offset + length; /* no overflow: the codec bounds offsets */
    if (exchange->request_length != PG_LENGTH_UNKNOWN &&
        (stop > exchange->request_length || (end && stop != exchange->request_length)))
        return EXCHANGE_WRONG;
    if (exchange->request_ignored) return throw_away(exchange, offset, length, end);
    switch (pg_inflow_take(&exchange->request, offset, bytes, length, end)) {
    case PG_INFLOW_TAKEN: return EXCHANGE_TAKEN;
    case PG_INFLOW_KNOWN: return EXCHANGE_KNOWN;
    case PG_INFLOW_GAP: return EXCHANGE_MISSING;
    case PG_INFLOW_ERROR: break;
    }
    return EXCHANGE_WRONG;
}

void exchange_ignore_request(struct exchange *exchange) {
    if (exchange->request_ignored) return;
    exchange->request_ignored = true;
    pg_inflow_pass(&exchange->request, exchange->request.held.length);
    pg_ring_clear(&exchange->request.held);
}

size_t exchange_read(struct exchange *exchange, char *to, size_t room, bool *end) {
    size_t copied = 0;
    for (;;) {
        size_t length;
        const uint8_t *bytes = pg_inflow_peek(&exchange->request, &length);
        length = min_size(length, room - copied);
        if (length == 0) break;
        memcpy(to + copied, bytes, length);
        copied += length;
        pg_inflow_pass(&exchange->request, length);
    }
    *end = pg_inflow_done(&exchange->request);
    return copied;
}

bool exchange_owes_ack(const struct exchange *exchange) {
    const struct pg_inflow *request = &exchange->request;
    return pg_inflow_should_tell(request) || (pg_inflow_done(request) && request->told != request->passed);
}

/* The most body bytes that may stand in the HEAD frame. */
static size_t inline_max(const struct exchange *exchange) {
    return min_size(exchange->window, PG_DATA_MAX - exchange->head_size);
}

bool exchange_set_head(struct exchange *exchange, unsigned status, const struct pg_field *fields, size_t count, uint64_t expected) {
    struct pg_head head = {.status = (uint16_t)status};
    exchange->head_size = pg_head_size(fields, count);
    exchange->head_length = exchange->head_size;
    exchange->head_room = exchange->head_size;
    if (expected > inline_max(exchange)) exchange->streamed = expected != PG_LENGTH_UNKNOWN;
    else exchange->head_room += (size_t)expected;
    exchange->head = malloc(exchange->head_room);
    if (!exchange->head) return false;
    pg_head_put(exchange->head, &head, fields, count);
    exchange->status = status;
    exchange->state = EXCHANGE_RESPONDING;
    return true;
}

/* From now on the body is in `response`. */
static bool stream(struct exchange *exchange) {
    size_t length = exchange->head_length - exchange->head_size;
    if (length && !pg_outflow_append(&exchange->response, exchange->head + exchange->head_size, length)) return false;
    exchange->head_length = exchange->head_size;
    exchange->streamed = true;
    return true;
}

/* Makes room for `length` body bytes behind the head. */
static bool grow_head(struct exchange *exchange, size_t length) {
    size_t needed = exchange->head_length + length;
    if (needed <= exchange->head_room) return true;
    size_t room = min_size(needed * 2, exchange->head_size + inline_max(exchange));
    uint8_t *grown = realloc(exchange->head, room);
    if (!grown) return false;
    exchange->head = grown;
    exchange->head_room = room;
    return true;
}

enum exchange_added exchange_add(struct exchange *exchange, const void *bytes, size_t length) {
    size_t held = exchange->head_length - exchange->head_size;
    if (!exchange->streamed && length > inline_max(exchange) - held && !stream(exchange)) return EXCHANGE_NO_MEMORY;
    if (!exchange->streamed) {
        if (!grow_head(exchange, length)) return EXCHANGE_NO_MEMORY;
        memcpy(exchange->head + exchange->head_length, bytes, length);
        exchange->head_length += length;
    } else {
        if (length > pg_outflow_room(&exchange->response)) return EXCHANGE_FULL;
        if (!pg_outflow_append(&exchange->response, bytes, length)) return EXCHANGE_NO_MEMORY;
    }
    exchange->body_bytes += length;
    return EXCHANGE_ADDED;
}

void exchange_complete(struct exchange *exchange) {
    exchange->response_ended = true;
    if (exchange->streamed) pg_outflow_end(&exchange->response);
}

void exchange_reset(struct exchange *exchange, enum pg_reason reason, const char *sentence) {
    exchange->reset = reason;
    exchange->reset_sent = false;
    free(exchange->sentence);
    exchange->sentence = strndup(sentence, PG_REASON_MAX); /* without memory it goes without words */
    exchange_drop_kept(exchange);
}

bool exchange_is_wide(const struct exchange *exchange) {
    return exchange->window == exchange->window_max;
}

bool exchange_wants_width(const struct exchange *exchange) {
    return !exchange_is_wide(exchange) && exchange->streamed && !exchange->reset &&
           exchange->response.kept.length >= exchange->window;
}

void exchange_widen(struct exchange *exchange) {
    exchange->window = exchange->window_max;
    pg_outflow_widen(&exchange->response, exchange->window + PG_DATA_MAX);
}

bool exchange_acked(struct exchange *exchange, uint64_t received) {
    if (exchange->reset) return true; /* crossed the RESET */
    if (exchange->streamed) return pg_outflow_ack(&exchange->response, received);
    return received <= (exchange->head_told ? exchange->body_bytes : 0);
}

bool exchange_resume(struct exchange *exchange, uint64_t received, bool head_seen, bool end_seen) {
    struct pg_outflow *response = &exchange->response;
    exchange->held = false;
    if (exchange->reset) {
        exchange->reset_sent = false;
        return true;
    }
    if (!exchange->head_told) return received == 0 && !head_seen && !end_seen;
    if (!head_seen && (received > 0 || end_seen)) return false;
    if (!head_seen && exchange->head_known) return true; /* old news */
    exchange->head_known = head_seen;
    if (!exchange->streamed) {
        exchange->head_sent = exchange->end_sent = head_seen;
        if (head_seen) return end_seen && received == exchange->body_bytes; /* it was one frame */
        return exchange->head != NULL;                                      /* else it was given up */
    }
    bool all = exchange->head && response->acked + response->kept.length >= response->top;
    if (!all && !end_seen) return received < response->acked; /* what it needs was given up, unless that is old news */
    exchange->head_sent = head_seen;
    return pg_outflow_rewind(response, received, end_seen);
}

/* Response bytes that may be sent now, in one frame. */
static size_t sendable(const struct exchange *exchange) {
    const struct pg_outflow *response = &exchange->response;
    size_t in_flight = (size_t)(response->sent - response->acked);
    size_t unsent = response->kept.length - in_flight;
    size_t credit = exchange->window - in_flight;
    if (unsent <= credit) return min_size(unsent, PG_DATA_MAX);
    /* What is left of the window is not worth a frame: an acknowledgement is on its way, and makes a whole one of it.
     */
    return credit < PG_DATA_MAX ? 0 : PG_DATA_MAX;
}

static bool response_is_sent(const struct pg_outflow *response) {
    return response->sent == response->acked + response->kept.length;
}

size_t exchange_next(struct exchange *exchange) {
    if (exchange->resume_wanted) return PG_FRAME_HEADER + PG_ID_SIZE;
    if (exchange->held || exchange_is_sent(exchange)) return 0;
    /* What is here of a response is sent at once: an event must not wait for the next one. */
    if (!exchange->reset && exchange->head && !exchange->streamed && !exchange->response_ended && !stream(exchange))
        exchange_reset(exchange, PG_BROKEN, "pg-client is out of memory");
    if (exchange->reset) return PG_FRAME_HEADER + 2 + (exchange->sentence ? strlen(exchange->sentence) : 0);
    if (!exchange->head) return 0;
    if (!exchange->head_sent) return PG_FRAME_HEADER + exchange->head_length;
    size_t length = sendable(exchange);
    if (length) return PG_FRAME_HEADER + length;
    bool only_end = exchange->response.ended && response_is_sent(&exchange->response);
    return only_end ? PG_FRAME_HEADER : 0;
}

static void put_resume(struct exchange *exchange, const struct pg_id *instance, struct pg_frame *frame, uint8_t *payload) {
    frame->type = PG_RESUME;
    frame->flags = PG_HEAD_SEEN; /* the OPEN is here */
    if (exchange->request.ended) frame->flags |= PG_END_SEEN;
    if (exchange->resume_answer) frame->flags |= PG_ANSWER;
    frame->offset = pg_inflow_received(&exchange->request);
    frame->length = PG_ID_SIZE;
    memcpy(payload, instance->bytes, PG_ID_SIZE);
    exchange->resume_wanted = exchange->resume_answer = false;
}

static void put_head(struct exchange *exchange, struct pg_frame *frame, uint8_t *payload) {
    frame->type = PG_HEAD;
    frame->length = exchange->head_length;
    memcpy(payload, exchange->head, exchange->head_length);
    exchange->head_sent = exchange->head_told = true;
    if (exchange->streamed) return;
    frame->flags = PG_END;
    exchange->end_sent = true;
}

static void put_data(struct exchange *exchange, struct pg_frame *frame, uint8_t *payload) {
    struct pg_outflow *response = &exchange->response;
    frame->type = PG_DATA;
    frame->offset = response->sent;
    size_t size = sendable(exchange);
    do { /* twice, where the ring wraps */
        const uint8_t *bytes;
        size_t length;
        bool end;
        if (!pg_outflow_next(response, size - frame->length, &bytes, &length, &end)) break;
        if (length) memcpy(payload + frame->length, bytes, length);
        frame->length += length;
        pg_outflow_sent(response, length, end);
    } while (frame->length < size);
    if (response->end_sent) frame->flags = PG_END;
}

void exchange_put(struct exchange *exchange, const struct pg_id *instance, uint8_t *to) {
    struct pg_frame frame = {.exchange = exchange->id, .handler = exchange->handler};
    uint8_t *payload = to + PG_FRAME_HEADER;
    if (exchange->resume_wanted) {
        put_resume(exchange, instance, &frame, payload);
    } else if (exchange->reset) {
        frame.type = PG_RESET;
        frame.length = pg_reset_put(payload, exchange->reset, exchange->sentence ? exchange->sentence : "");
        exchange->reset_sent = true;
    } else if (!exchange->head_sent) {
        put_head(exchange, &frame, payload);
    } else {
        put_data(exchange, &frame, payload);
    }
    pg_frame_put(to, &frame);
}

bool exchange_is_sent(const struct exchange *exchange) {
    if (exchange->reset) return exchange->reset_sent;
    return exchange->head_sent && (exchange->streamed ? exchange->response.end_sent : exchange->end_sent);
}

size_t exchange_kept(const struct exchange *exchange) {
    return exchange->response.kept.size + (exchange->head ? exchange->head_room : 0);
}

void exchange_drop_kept(struct exchange *exchange) {
    free(exchange->head);
    exchange->head = NULL;
    exchange->head_room = 0;
    pg_outflow_clear(&exchange->response);
}
