/* The two halves of a byte stream. The input is a list of operations on an outflow and an inflow with a bad path
 * between them, and of lies a hostile sender could tell the inflow. A plain model (numbers, no buffers: every stream
 * is the same noise) says what each must answer.
 *
 * Input: one byte for the window, then operations of three bytes: what, and a number of 16 bits. */
#include "fuzz.h"

#include "flow.h"

#include <stdbool.h>
#include <string.h>

enum {
    WINDOW_MAX = 16 * 1024,
    PIECE_MAX = 65536,
    UNDER_WAY_MAX = 32,
    PERIOD = 65521 /* a prime: no window is in step with it */
};

struct sender { /* what the outflow should be */
    uint64_t appended, acked, sent, top;
    bool ended, end_sent, end_told;
};

struct receiver { /* what the inflow should be */
    uint64_t received, passed, told;
    bool ended;
    bool wide; /* there was once more than a quarter of the window that it has not told of */
};

struct piece { /* a DATA frame under way */
    uint64_t offset;
    size_t length;
    bool end;
};

struct world {
    size_t window;
    struct pg_outflow out;
    struct pg_inflow in;
    struct sender sender;
    struct receiver receiver;
    struct piece under_way[UNDER_WAY_MAX];
    size_t pieces;
};

/* Every stream is this one: noise that repeats after PERIOD bytes, twice, so that any piece of it lies in one. */
static uint8_t noise[PERIOD + PIECE_MAX];

static void make_noise(void) {
    uint32_t x = 1;
    for (size_t i = 0; i < sizeof noise; i++) {
        if (i % PERIOD == 0) x = 1;
        x = x * 1664525 + 1013904223; /* Numerical Recipes' generator */
        noise[i] = (uint8_t)(x >> 24);
    }
}

/* The stream's bytes from `offset` on. */
static const uint8_t *bytes_at(uint64_t offset, size_t length) {
    MUST(length <= PIECE_MAX);
    return noise + offset % PERIOD;
}

static void append(struct world *w, size_t length) {
    struct sender *s = &w->sender;
    size_t room = s->ended ? 0 : w->window - (size_t)(s->appended - s->acked);
    MUST(pg_outflow_room(&w->out) == room);
    bool fits = !s->ended && length <= room;
    MUST(pg_outflow_append(&w->out, bytes_at(s->appended, length), length) == fits);
    if (fits) s->appended += length;
}

static void end(struct world *w) {
    pg_outflow_end(&w->out);
    w->sender.ended = true;
}

static void send_piece(struct world *w, size_t max) {
    struct sender *s = &w->sender;
    const uint8_t *bytes;
    size_t length;
    bool last;
    bool any = pg_outflow_next(&w->out, max, &bytes, &length, &last);
    size_t left = (size_t)(s->appended - s->sent);
    MUST(length <= max && length <= left && (length > 0) == (left > 0 && max > 0));
    MUST(last == (s->ended && length == left));
    MUST(any == (length > 0 || (last && !s->end_sent)));
    if (!any) return;
    if (length) MUST(memcmp(bytes, bytes_at(s->sent, length), length) == 0);
    if (w->pieces < UNDER_WAY_MAX) w->under_way[w->pieces++] = (struct piece){s->sent, length, last};
    pg_outflow_sent(&w->out, length, last);
    s->sent += length;
    if (s->sent > s->top) s->top = s->sent;
    s->end_sent = s->end_sent || last;
    s->end_told = s->end_told || last;
}

/* What WIRE.md and flow.h say of bytes [offset, offset + length). */
static enum pg_inflow_result expected(const struct world *w, uint64_t offset, size_t length, bool last) {
    const struct receiver *r = &w->receiver;
    uint64_t stop = offset + length;
    if (stop > r->passed + w->window) return PG_INFLOW_ERROR;
    if (r->ended && (last ? stop != r->received : stop > r->received)) return PG_INFLOW_ERROR;
    if (offset > r->received) return PG_INFLOW_GAP;
    if (last && stop < r->received) return PG_INFLOW_ERROR;
    bool news = stop > r->received || (last && !r->ended);
    return news ? PG_INFLOW_TAKEN : PG_INFLOW_KNOWN;
}

static void take(struct world *w, uint64_t offset, size_t length, bool last) {
    enum pg_inflow_result wanted = expected(w, offset, length, last);
    MUST(pg_inflow_take(&w->in, offset, bytes_at(offset, length), length, last) == wanted);
    if (wanted != PG_INFLOW_TAKEN) return;
    if (offset + length > w->receiver.received) w->receiver.received = offset + length;
    w->receiver.ended = w->receiver.ended || last;
}

static void deliver(struct world *w, size_t which, bool stays) {
    if (w->pieces == 0) return;
    which %= w->pieces;
    struct piece piece = w->under_way[which];
    if (!stays) w->under_way[which] = w->under_way[--w->pieces];
    take(w, piece.offset, piece.length, piece.end);
}

static void lose(struct world *w, size_t which) {
    if (w->pieces) w->under_way[which % w->pieces] = w->under_way[w->pieces - 1], w->pieces--;
}

static void pass(struct world *w, size_t length) {
    size_t held;
    const uint8_t *bytes = pg_inflow_peek(&w->in, &held);
    if (length > held) length = held;
    if (held) MUST(memcmp(bytes, bytes_at(w->receiver.passed, held), held) == 0);
    pg_inflow_pass(&w->in, length);
    w->receiver.passed += length;
}

/* Only when nothing is held, as the header asks. */
static void through(struct world *w, size_t length, bool last) {
    struct receiver *r = &w->receiver;
    if (r->received != r->passed || r->ended || length > w->window) return;
    pg_inflow_through(&w->in, length, last);
    r->received = r->passed += length;
    r->ended = last;
}

static void acknowledge(struct world *w, uint64_t received) {
    struct sender *s = &w->sender;
    MUST(pg_outflow_ack(&w->out, received) == (received <= s->top));
    if (received <= s->top && received > s->acked) s->acked = received;
    if (s->sent < s->acked) s->sent = s->acked;
}

static void tell(struct world *w) {
    struct receiver *r = &w->receiver;
    MUST(pg_inflow_should_tell(&w->in) == (r->passed - r->told >= (r->wide ? w->window : w->window / 4) / 4));
    r->told = w->in.told = r->passed;
    acknowledge(w, r->passed);
}

/* A RESUME: a new path, or a lie. What was under way may still come. */
static void resume(struct world *w, uint64_t received, bool end_seen) {
    struct sender *s = &w->sender;
    bool may = received <= s->top && (!end_seen || (s->end_told && received == s->top));
    MUST(pg_outflow_rewind(&w->out, received, end_seen) == may);
    if (!may || received < s->acked) return;
    s->sent = received;
    s->end_sent = end_seen;
}

static void must_agree(const struct world *w) {
    const struct sender *s = &w->sender;
    const struct receiver *r = &w->receiver;
    MUST(w->out.acked == s->acked && w->out.sent == s->sent && w->out.top == s->top &&
         w->out.kept.length == s->appended - s->acked);
    MUST(w->out.ended == s->ended && w->out.end_sent == s->end_sent);
    MUST(pg_outflow_done(&w->out) == (s->end_sent && s->acked == s->appended));
    MUST(w->in.passed == r->passed && pg_inflow_received(&w->in) == r->received && w->in.ended == r->ended);
    MUST(pg_inflow_done(&w->in) == (r->ended && r->passed == r->received));
    MUST(w->in.wide == r->wide);
    MUST(w->out.kept.length <= w->window && w->in.held.length <= w->window);
    MUST(w->out.kept.size <= w->window && w->in.held.size <= w->window);
}

static void operate(struct world *w, uint8_t what, uint16_t number) {
    uint64_t near = w->receiver.received + (uint64_t)(int64_t)(int16_t)number;
    switch (what % 14) {
    case 0: append(w, number); break;
    case 1: append(w, pg_outflow_room(&w->out)); break;
    case 2: send_piece(w, number); break;
    case 3: send_piece(w, SIZE_MAX); break;
    case 4: deliver(w, number, false); break;
    case 5: deliver(w, number, true); break;
    case 6: lose(w, number); break;
    case 7: pass(w, number); break;
    case 8: tell(w); break;
    case 9: acknowledge(w, w->sender.acked + number); break;
    case 10:
        if (number & 1) resume(w, w->receiver.received, w->receiver.ended);
        else resume(w, w->sender.acked + (number >> 1), what & 0x80);
        break;
    case 11: end(w); break;
    case 12:
        if (near <= UINT64_MAX / 2) take(w, near, what & 0x70 ? number >> 3 : (size_t)what >> 4, what & 0x80);
        break;
    case 13: through(w, number, what & 0x80); break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const size_t windows[] = {4, 5, 64, 100, 4096, 4097, 10000, WINDOW_MAX};
    if (size < 1) return 0;
    static bool made;
    if (!made) make_noise();
    made = true;
    struct world world = {.window = windows[data[0] % 8]};
    pg_outflow_init(&world.out, world.window);
    pg_inflow_init(&world.in, world.window);
    for (size_t at = 1; at + 3 <= size; at += 3) {
        operate(&world, data[at], (uint16_t)(data[at + 1] << 8 | data[at + 2]));
        struct receiver *r = &world.receiver;
        r->wide = r->wide || r->received - r->told > world.window / 4;
        must_agree(&world);
    }
    pg_outflow_clear(&world.out);
    pg_inflow_clear(&world.in);
    return 0;
}
