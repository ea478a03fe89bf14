/* One exchange between two ends and a middle that loses, repeats, overtakes and restarts, driven by a seed: the client's end is
 * client/exchange.c, the handler's is fcgi-handler/path.c and lib/flow.c under the rules of fcgi-handler/exchange*.c. After every step
 * what has arrived is the beginning of what was sent, and nothing holds more than its window; in the end both ends end, and the
 * local service has had the request once (twice only where DESIGN section 5 allows it).
 *
 *     simulate [--seed N] [--count N]     prints a failing seed, which can be given again; exits 1 then */
#include "exchange.h"
#include "path.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAYS_MAX = 12, QUEUE_MAX = 64, BODY_MAX = 3000, CALM_STEPS = 100000, PIECE_MAX = 400 };

struct message {
    uint8_t *bytes;
    size_t length;
};

struct queue {
    struct message messages[QUEUE_MAX];
    size_t first, count;
};

/* One session of the client: an ordered way in each direction, which may be gone for sending and still deliver what is in it. */
struct way {
    struct pg_envelope envelope;
    uint32_t life;
    struct queue up, down;
};

enum handler_state { WAITING, TAKEN, RESPONDING, COMPLETE, FAILED };

struct world {
    uint64_t random;
    size_t window;
    uint8_t request[BODY_MAX], response[BODY_MAX];
    size_t request_length, response_length;
    bool streams, idempotent;
    /* the handler */
    enum handler_state state;
    struct path path;
    struct pg_outflow body;
    struct pg_inflow answer;
    size_t appended;
    uint64_t answered; /* response bytes passed on to the visitor */
    bool asking;
    struct queue list; /* OPENs in Redis */
    /* the middle */
    struct way ways[WAYS_MAX];
    size_t ways_count, current;
    /* the client and its service */
    uint32_t life;
    struct exchange *exchange;
    bool done_known, head_made, gap;
    size_t read, made;
    unsigned started_in_life, started;
    bool restarted_after_taken;
    size_t steps;
    const char *wrong;
};

static const struct pg_id exchange_id = {{1}}, handler_id = {{2}}, tunnel_id = {{3}};

static uint64_t below(struct world *w, uint64_t limit) {
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return limit ? (w->random >> 11) % limit : 0;
}

static bool chance(struct world *w, unsigned of) {
    return below(w, of) == 0;
}

static void wrong(struct world *w, const char *what) {
    if (!w->wrong) w->wrong = what;
}

/* --- the middle --- */

static void put(struct queue *queue, const uint8_t *bytes, size_t length) {
    if (queue->count == QUEUE_MAX) return; /* full: lost, as a bounded inbox loses */
    struct message *message = &queue->messages[(queue->first + queue->count++) % QUEUE_MAX];
    message->bytes = malloc(length);
    if (!message->bytes) abort();
    message->length = length;
    memcpy(message->bytes, bytes, length);
}

static bool take(struct queue *queue, struct message *message) {
    if (queue->count == 0) return false;
    *message = queue->messages[queue->first];
    queue->first = (queue->first + 1) % QUEUE_MAX;
    queue->count--;
    return true;
}

static void lose(struct queue *queue, size_t keep) {
    while (queue->count > keep) free(queue->messages[(queue->first + --queue->count) % QUEUE_MAX].bytes);
}

static struct way *way_to(struct world *w, const struct pg_envelope *envelope) {
    for (size_t i = 0; i < w->ways_count; i++)
        if (w->ways[i].envelope.session == envelope->session) return &w->ways[i];
    return NULL;
}

/* --- the handler --- */

static void to_client(struct world *w, const struct pg_envelope *to, enum pg_type type, uint16_t flags, uint64_t offset,
                      const uint8_t *payload, size_t length) {
    uint8_t frame[PG_FRAME_HEADER + BODY_MAX + 600];
    struct way *way = way_to(w, to);
    struct pg_frame header = {.type = type, .flags = flags, .offset = offset, .handler = handler_id, .length = length};
    if (type != PG_ACK) header.exchange = exchange_id;
    pg_frame_put(frame, &header);
    if (length) memcpy(frame + PG_FRAME_HEADER, payload, length);
    if (way) put(&way->down, frame, PG_FRAME_HEADER + length);
}

static void push_open(struct world *w) {
    struct pg_open open = {.method = w->idempotent ? "PUT" : "POST", .method_length = w->idempotent ? 3 : 4, .target = "/",
                           .target_length = 1, .body_length = w->request_length};
    uint8_t frame[PG_FRAME_HEADER + BODY_MAX + 600];
    size_t head = pg_open_size(&open, NULL, 0), length = head + (w->streams ? 0 : w->request_length);
    pg_open_put(frame + PG_FRAME_HEADER, &open, NULL, 0);
    if (!w->streams) memcpy(frame + PG_FRAME_HEADER + head, w->request, w->request_length);
    pg_frame_put(frame, &(struct pg_frame){.type = PG_OPEN, .flags = w->streams ? 0 : PG_END, .exchange = exchange_id,
                                           .handler = handler_id, .length = length});
    put(&w->list, frame, PG_FRAME_HEADER + length);
}

static void send_resume(struct world *w, uint16_t flags) {
    uint8_t instance[PG_ID_SIZE] = {0};
    if (w->state == RESPONDING) flags |= PG_HEAD_SEEN;
    if (w->answer.ended) flags |= PG_END_SEEN;
    to_client(w, &w->path.way, PG_RESUME, flags, pg_inflow_received(&w->answer), instance, sizeof instance);
}

static void send_ack(struct world *w, uint32_t state) {
    uint8_t entry[PG_ACK_ENTRY];
    pg_ack_put(entry, &(struct pg_ack){.exchange = exchange_id, .received = w->answer.passed, .state = state});
    to_client(w, &w->path.way, PG_ACK, 0, 0, entry, sizeof entry);
    w->answer.told = w->answer.passed;
}

static void pump(struct world *w) {
    const uint8_t *bytes;
    size_t length;
    bool end;
    while (w->path.taker && pg_outflow_next(&w->body, PIECE_MAX, &bytes, &length, &end)) {
        to_client(w, &w->path.way, PG_DATA, end ? PG_END : 0, w->body.sent, bytes, length);
        pg_outflow_sent(&w->body, length, end);
    }
}

static void fill_body(struct world *w) {
    size_t room = pg_outflow_room(&w->body), left = w->request_length - w->appended;
    if (!w->streams || w->body.ended) return;
    if (room == 0 && chance(w, 40)) pg_outflow_widen(&w->body, w->window);
    size_t step = room < left ? room : left;
    if (step) pg_outflow_append(&w->body, w->request + w->appended, step);
    w->appended += step;
    if (w->appended == w->request_length) pg_outflow_end(&w->body);
    pump(w);
}

static void ask(struct world *w) {
    w->asking = true;
    send_resume(w, 0);
}

static void deliver(struct world *w) {
    const uint8_t *bytes;
    size_t length;
    while ((bytes = pg_inflow_peek(&w->answer, &length)) && length) {
        if (w->answered + length > w->response_length || memcmp(bytes, w->response + w->answered, length) != 0)
            wrong(w, "the visitor got other bytes");
        w->answered += length;
        pg_inflow_pass(&w->answer, length);
    }
    if (!pg_inflow_done(&w->answer)) {
        if (pg_inflow_should_tell(&w->answer)) send_ack(w, 0);
        return;
    }
    if (w->answered != w->response_length) wrong(w, "the response is short");
    send_ack(w, PG_ACK_DONE);
    w->state = COMPLETE;
}

static void on_acked(struct world *w, uint64_t received) {
    if (!pg_outflow_ack(&w->body, received)) wrong(w, "an acknowledgement of what was never sent");
    if (w->state == WAITING) w->state = TAKEN;
    fill_body(w);
    pump(w);
}

static void on_lost_life(struct world *w) {
    if (w->state == TAKEN && w->idempotent && (!w->streams || w->body.acked == 0)) {
        path_lose(&w->path);
        pg_outflow_rewind(&w->body, w->streams ? 0 : w->body.acked, !w->streams);
        w->state = WAITING;
        w->asking = false;
        push_open(w);
    } else {
        w->state = FAILED; /* 502, or an abort */
    }
}

static void take_response(struct world *w, uint64_t offset, const uint8_t *bytes, size_t length, bool end, bool stale) {
    switch (pg_inflow_take(&w->answer, offset, bytes, length, end)) {
    case PG_INFLOW_TAKEN: break;
    case PG_INFLOW_KNOWN: break;
    case PG_INFLOW_GAP:
        if (!stale && !w->asking) ask(w);
        return;
    case PG_INFLOW_ERROR: wrong(w, "the client sent beyond the window, or another end"); return;
    }
    deliver(w);
}

static void handler_takes(struct world *w, const struct pg_envelope *from, const struct message *message) {
    struct pg_frame frame;
    struct pg_head head;
    if (pg_frame_decode(message->bytes, message->length, &frame)) {
        wrong(w, "the client sent a bad frame");
        return;
    }
    bool unknown = frame.type == PG_RESUME && (frame.flags & PG_UNKNOWN), reset = frame.type == PG_RESET;
    if (w->state >= COMPLETE) {
        if (!reset && !unknown) {
            uint8_t entry[PG_ACK_ENTRY];
            pg_ack_put(entry, &(struct pg_ack){.exchange = exchange_id, .state = PG_ACK_DONE});
            to_client(w, from, PG_ACK, 0, 0, entry, sizeof entry);
        }
        return;
    }
    if (w->path.taker == 0 && (unknown || frame.type == PG_DATA)) return;
    enum path_sender sender = path_heard(&w->path, from);
    if (sender == PATH_LOST) return;
    if (sender == PATH_FOREIGN) {
        if (w->answer.ended) return;
        if (!path_is_way(&w->path, from)) return;
        if (unknown || reset) {
            on_lost_life(w);
            return;
        }
        if (frame.type != PG_RESUME) return;
        if (w->state != TAKEN || !w->idempotent || (w->streams && w->body.acked > 0)) {
            uint8_t reason[2] = {0, PG_GONE};
            to_client(w, from, PG_RESET, 0, 0, reason, sizeof reason);
            w->state = FAILED;
            return;
        }
        path_adopt(&w->path);
        sender = PATH_CURRENT;
    }
    switch (frame.type) {
    case PG_ACK: on_acked(w, pg_ack_get(&frame, 0).received); break;
    case PG_HEAD:
        if (w->state == RESPONDING) break;
        if (pg_head_decode(&frame, &head)) wrong(w, "a bad head");
        w->state = RESPONDING;
        take_response(w, 0, head.body, head.body_bytes, frame.flags & PG_END, false);
        break;
    case PG_DATA:
        if (w->state != RESPONDING) {
            if (sender != PATH_STALE && !w->asking) ask(w);
            break;
        }
        take_response(w, frame.offset, frame.payload, frame.length, frame.flags & PG_END, sender == PATH_STALE);
        break;
    case PG_RESUME:
        if (sender == PATH_STALE) break;
        if (unknown) {
            wrong(w, "the same life no longer knows it");
            break;
        }
        if (!pg_outflow_rewind(&w->body, frame.offset, frame.flags & PG_END_SEEN)) wrong(w, "a resume where it cannot be");
        w->asking = false;
        if (!(frame.flags & PG_ANSWER)) send_resume(w, PG_ANSWER);
        send_ack(w, 0);
        on_acked(w, w->body.acked);
        break;
    default: wrong(w, "the client ended it"); break;
    }
}

/* --- the client --- */

static void to_handler(struct world *w, const uint8_t *bytes, size_t length) {
    put(&w->ways[w->current].up, bytes, length);
}

static void client_acks(struct world *w) {
    uint8_t frame[PG_FRAME_HEADER + PG_ACK_ENTRY];
    pg_frame_put(frame, &(struct pg_frame){.type = PG_ACK, .handler = handler_id, .length = PG_ACK_ENTRY});
    pg_ack_put(frame + PG_FRAME_HEADER, &(struct pg_ack){.exchange = exchange_id, .received = w->exchange->request.passed});
    w->exchange->request.told = w->exchange->request.passed;
    to_handler(w, frame, sizeof frame);
}

static void announce(struct world *w) {
    w->exchange->resume_wanted = true;
    w->exchange->held = w->exchange->head_sent || w->exchange->reset_sent;
    client_acks(w);
}

static struct pg_id instance_of(uint32_t life) {
    return (struct pg_id){{(uint8_t)(life >> 24), (uint8_t)(life >> 16), (uint8_t)(life >> 8), (uint8_t)life}};
}

static void client_flush(struct world *w) {
    uint8_t frame[PG_FRAME_MAX];
    size_t size;
    struct pg_id instance = instance_of(w->life);
    while (w->exchange && w->ways[w->current].up.count < QUEUE_MAX && (size = exchange_next(w->exchange)) > 0) {
        exchange_put(w->exchange, &instance, frame);
        to_handler(w, frame, size);
    }
}

static void client_opens(struct world *w, const struct pg_frame *frame) {
    struct pg_open open;
    if (pg_open_decode(frame, &open)) {
        wrong(w, "the handler sent a bad OPEN");
        return;
    }
    if (w->done_known) return;
    if (w->exchange) {
        if (w->exchange->head_told) announce(w);
        else client_acks(w);
        return;
    }
    w->exchange = exchange_new(frame, &open, w->window);
    if (!w->exchange) abort();
    w->started++;
    w->started_in_life++;
    w->read = w->made = 0;
    w->head_made = w->gap = false;
    if (frame->flags & PG_END) {
        if (open.body_bytes != w->request_length || memcmp(open.body, w->request, open.body_bytes) != 0)
            wrong(w, "the service got another request");
        w->exchange->request_ignored = true;
        w->exchange->request.passed = w->exchange->request.told = open.body_bytes;
        w->exchange->request.ended = true;
        w->read = open.body_bytes;
    }
    client_acks(w);
}

static void client_takes(struct world *w, const struct message *message) {
    struct pg_frame frame;
    if (pg_frame_decode(message->bytes, message->length, &frame)) {
        wrong(w, "the handler sent a bad frame");
        return;
    }
    if (frame.type == PG_OPEN) {
        client_opens(w, &frame);
        return;
    }
    if (!w->exchange) {
        if (frame.type == PG_RESUME && !(frame.flags & PG_ANSWER)) {
            struct pg_id instance = instance_of(w->life);
            uint8_t answer[PG_FRAME_HEADER + PG_ID_SIZE];
            pg_frame_put(answer, &(struct pg_frame){.type = PG_RESUME, .flags = PG_ANSWER | PG_UNKNOWN, .exchange = exchange_id,
                                                    .handler = handler_id, .length = PG_ID_SIZE});
            memcpy(answer + PG_FRAME_HEADER, instance.bytes, PG_ID_SIZE);
            to_handler(w, answer, sizeof answer);
        }
        return;
    }
    struct pg_ack ack;
    switch (frame.type) {
    case PG_DATA:
        switch (exchange_take(w->exchange, frame.offset, frame.payload, frame.length, frame.flags & PG_END)) {
        case EXCHANGE_TAKEN: w->gap = false; break;
        case EXCHANGE_KNOWN: client_acks(w); break;
        case EXCHANGE_MISSING:
            if (!w->gap) announce(w);
            w->gap = true;
            break;
        case EXCHANGE_WRONG: wrong(w, "the handler sent beyond the window, or another end"); break;
        }
        break;
    case PG_ACK:
        ack = pg_ack_get(&frame, 0);
        if (ack.state & PG_ACK_DONE) {
            exchange_free(w->exchange);
            w->exchange = NULL;
            w->done_known = true;
        } else if (!exchange_acked(w->exchange, ack.received)) {
            wrong(w, "bytes acknowledged that the client never sent");
        }
        break;
    case PG_RESUME:
        w->gap = false;
        if (!(frame.flags & PG_ANSWER)) w->exchange->resume_wanted = w->exchange->resume_answer = true;
        client_acks(w);
        if (exchange_resume(w->exchange, frame.offset, frame.flags & PG_HEAD_SEEN, frame.flags & PG_END_SEEN)) break;
        if (!w->restarted_after_taken) wrong(w, "the client is asked to go on where it cannot");
        exchange_reset(w->exchange, PG_PROTOCOL, "another life had begun the response");
        break;
    case PG_RESET:
        exchange_free(w->exchange);
        w->exchange = NULL;
        break;
    default: wrong(w, "the handler sent what it may not"); break;
    }
}

/* The local service reads some of the request, or makes some of the response. */
static void service_moves(struct world *w) {
    char bytes[PIECE_MAX];
    bool end;
    if (!w->exchange || w->exchange->reset) return;
    size_t length = exchange_read(w->exchange, bytes, 1 + below(w, sizeof bytes), &end);
    if (length && !w->exchange->request_ignored) {
        if (w->read + length > w->request_length || memcmp(bytes, w->request + w->read, length) != 0)
            wrong(w, "the service got other bytes");
        w->read += length;
    }
    if (exchange_owes_ack(w->exchange)) client_acks(w);
    if (w->read < w->request_length) return;
    if (!w->head_made) {
        if (!chance(w, 3)) return;
        w->head_made = exchange_set_head(w->exchange, 200, NULL, 0, chance(w, 2) ? w->response_length : PG_LENGTH_UNKNOWN);
        return;
    }
    size_t left = w->response_length - w->made, step = 1 + (size_t)below(w, PIECE_MAX);
    if (step > left) step = left;
    if (chance(w, 40) && exchange_wants_width(w->exchange)) exchange_widen(w->exchange);
    if (w->exchange->response.kept.length + step > w->exchange->window) return;
    if (step && exchange_add(w->exchange, w->response + w->made, step) == EXCHANGE_ADDED) w->made += step;
    if (w->made == w->response_length && !w->exchange->response_ended) exchange_end(w->exchange);
}

/* --- what happens --- */

static void new_way(struct world *w) {
    if (w->ways_count == WAYS_MAX) return;
    struct pg_id instance = instance_of(w->life);
    struct way *way = &w->ways[w->ways_count];
    *way = (struct way){.envelope = {.tunnel = tunnel_id, .broker = {{(uint8_t)(10 + w->ways_count)}}}, .life = w->life};
    way->envelope.session = pg_session_make(&instance, (uint32_t)w->ways_count + 1);
    w->current = w->ways_count++;
    if (w->exchange) announce(w);
}

/* The broker gives a waiting OPEN to the client it has. */
static void broker_moves(struct world *w) {
    struct message message;
    if (!take(&w->list, &message)) return;
    put(&w->ways[w->current].down, message.bytes, message.length);
    free(message.bytes);
}

static void move_messages(struct world *w, size_t way) {
    struct message message;
    if (chance(w, 2) && take(&w->ways[way].up, &message)) {
        handler_takes(w, &w->ways[way].envelope, &message);
        free(message.bytes);
    } else if (take(&w->ways[way].down, &message)) {
        if (w->ways[way].life == w->life) client_takes(w, &message);
        free(message.bytes);
    }
}

/* The handler's second thoughts: timers, and what it hears of the bus. */
static void handler_wakes(struct world *w) {
    if (w->state == WAITING) push_open(w);
    else if (w->state < COMPLETE && path_routed(&w->path, &w->ways[w->current].envelope)) ask(w);
    else if (w->state < COMPLETE && (w->asking || chance(w, 2))) ask(w);
}

static void client_wakes(struct world *w) {
    if (w->exchange && (w->exchange->held || w->gap || chance(w, 4))) announce(w);
}

static void restart_client(struct world *w) {
    bool was_taken = w->state != WAITING || w->exchange;
    if (w->ways_count + 1 >= WAYS_MAX) return;
    if (w->exchange) exchange_free(w->exchange);
    w->exchange = NULL;
    w->done_known = false;
    w->started_in_life = 0;
    w->restarted_after_taken = w->restarted_after_taken || was_taken;
    w->life++;
    new_way(w);
}

static void chaos(struct world *w) {
    size_t way = below(w, w->ways_count);
    switch (below(w, 12)) {
    case 0: lose(&w->ways[way].up, below(w, w->ways[way].up.count + 1)); break;
    case 1: lose(&w->ways[way].down, below(w, w->ways[way].down.count + 1)); break;
    case 2: lose(&w->list, 0); break;
    case 3:
        if (w->state == WAITING) push_open(w); /* a second copy */
        break;
    case 4: case 5: new_way(w); break; /* the one before still delivers what is in it */
    case 6:
        lose(&w->ways[w->current].up, 0);
        lose(&w->ways[w->current].down, 0);
        new_way(w);
        break;
    case 7:
        if (chance(w, 6)) restart_client(w);
        break;
    default: break;
    }
}

static void check(struct world *w) {
    if (w->started_in_life > 1) wrong(w, "one life of the client started it twice");
    if (w->body.kept.length > w->window || w->answer.held.length > w->window) wrong(w, "the handler holds more than a window");
    if (w->exchange && w->exchange->request.held.length > w->window) wrong(w, "the client holds more than a window");
    if (!w->idempotent && w->started > 1 && w->state == RESPONDING && w->path.lost) wrong(w, "a POST was dispatched again");
}

static bool is_over(const struct world *w) {
    return w->state >= COMPLETE && (!w->exchange || w->exchange->reset_sent);
}

static void step(struct world *w, bool calm) {
    if (!calm && chance(w, 12)) chaos(w);
    switch (below(w, 8)) {
    case 0: service_moves(w); break;
    case 1: broker_moves(w); break;
    case 2:
        if (chance(w, calm ? 6 : 20)) handler_wakes(w);
        break;
    case 3:
        if (chance(w, calm ? 6 : 20)) client_wakes(w);
        break;
    default: move_messages(w, calm && chance(w, 2) ? w->current : below(w, w->ways_count)); break;
    }
    fill_body(w);
    client_flush(w);
    w->steps++;
}

static void show(const struct world *w) {
    const struct exchange *e = w->exchange;
    printf("handler: state %d, %s%s, request %zu (acked %" PRIu64 ", sent %" PRIu64 "), response %zu (passed %" PRIu64 ", held %zu%s)%s\n",
           w->state, w->streams ? "streams" : "whole", w->idempotent ? ", idempotent" : "", w->request_length, w->body.acked,
           w->body.sent, w->response_length, w->answer.passed, w->answer.held.length, w->answer.ended ? ", ended" : "",
           w->asking ? ", asking" : "");
    printf("window %zu, way %zu of %zu, life %u, started %u times%s\n", w->window, w->current + 1, w->ways_count, w->life, w->started,
           w->done_known ? ", done" : "");
    if (e)
        printf("client: read %zu%s, made %zu%s, head %s%s%s, sent %" PRIu64 ", acked %" PRIu64 ", kept %zu%s%s%s\n", w->read,
               e->request.ended ? " (all)" : "", w->made, e->response_ended ? " (all)" : "", w->head_made ? "made" : "none",
               e->head_sent ? ", sent" : "", e->head_known ? ", known" : "", e->response.sent, e->response.acked,
               e->response.kept.length, e->held ? ", held" : "", e->resume_wanted ? ", announces" : "", w->gap ? ", gap" : "");
}

static const char *run(struct world *w, uint64_t seed) {
    *w = (struct world){.random = seed * 0x9E3779B97F4A7C15u + 1, .life = 1};
    w->window = 256 + below(w, 4800);
    w->request_length = chance(w, 3) ? below(w, 40) : below(w, BODY_MAX);
    w->response_length = chance(w, 3) ? below(w, 40) : below(w, BODY_MAX);
    w->streams = chance(w, 2);
    w->idempotent = chance(w, 2);
    for (size_t i = 0; i < BODY_MAX; i++) {
        w->request[i] = (uint8_t)below(w, 256);
        w->response[i] = (uint8_t)below(w, 256);
    }
    pg_outflow_init(&w->body, pg_flow_first(w->window));
    pg_inflow_init(&w->answer, w->window);
    if (!w->streams) {
        w->body.acked = w->body.sent = w->body.top = w->request_length;
        w->body.ended = w->body.end_sent = w->body.end_told = true;
    }
    new_way(w);
    push_open(w);
    size_t wild = below(w, 600);
    while (w->steps < wild && !w->wrong && !is_over(w)) {
        step(w, false);
        check(w);
    }
    size_t limit = w->steps + CALM_STEPS;
    while (w->steps < limit && !w->wrong && !is_over(w)) {
        step(w, true);
        check(w);
    }
    if (!w->wrong && !is_over(w)) w->wrong = "it never ends";
    if (w->wrong) show(w);
    if (!w->wrong && w->state == FAILED && !w->restarted_after_taken) w->wrong = "it failed though the client lived";
    if (!w->wrong && w->started > 1 && !w->restarted_after_taken) w->wrong = "it was started twice in one life";
    for (size_t i = 0; i < w->ways_count; i++) lose(&w->ways[i].up, 0), lose(&w->ways[i].down, 0);
    lose(&w->list, 0);
    if (w->exchange) exchange_free(w->exchange);
    pg_outflow_clear(&w->body);
    pg_inflow_clear(&w->answer);
    return w->wrong;
}

int main(int argc, char **argv) {
    static struct world world;
    uint64_t first = 1, count = 40000, completed = 0, failed = 0, again = 0, steps = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0) first = strtoull(argv[i + 1], NULL, 10), count = 1;
        else if (strcmp(argv[i], "--count") == 0) count = strtoull(argv[i + 1], NULL, 10);
    }
    for (uint64_t seed = first; seed < first + count; seed++) {
        const char *why = run(&world, seed);
        if (why) {
            printf("seed %" PRIu64 ": %s (after %zu steps)\nsimulate --seed %" PRIu64 " shows it again\n", seed, why, world.steps, seed);
            return 1;
        }
        completed += world.state == COMPLETE;
        failed += world.state == FAILED;
        again += world.started > 1;
        steps += world.steps;
    }
    printf("%" PRIu64 " schedules, %" PRIu64 " steps: %" PRIu64 " completed, %" PRIu64 " ended because the client was started anew, "
           "%" PRIu64 " dispatched again\n", count, steps, completed, failed, again);
    return 0;
}
