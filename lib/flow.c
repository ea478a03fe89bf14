#include "flow.h"

size_t pg_flow_first(size_t window) {
    return window / 4;
}

void pg_outflow_init(struct pg_outflow *out, size_t window) {
    *out = (struct pg_outflow){0};
    pg_ring_init(&out->kept, window);
}

void pg_outflow_widen(struct pg_outflow *out, size_t window) {
    out->kept.max = window;
}

void pg_outflow_clear(struct pg_outflow *out) {
    pg_ring_clear(&out->kept);
}

size_t pg_outflow_room(const struct pg_outflow *out) {
    return out->ended ? 0 : pg_ring_room(&out->kept);
}

bool pg_outflow_append(struct pg_outflow *out, const void *bytes, size_t length) {
    return !out->ended && pg_ring_append(&out->kept, bytes, length);
}

void pg_outflow_end(struct pg_outflow *out) {
    out->ended = true;
}

bool pg_outflow_next(const struct pg_outflow *out, size_t max, const uint8_t **bytes, size_t *length, bool *end) {
    size_t skip = (size_t)(out->sent - out->acked);
    *bytes = pg_ring_peek(&out->kept, skip, length);
    if (*length > max) *length = max;
    *end = out->ended && skip + *length == out->kept.length;
    return *length > 0 || (*end && !out->end_sent);
}

void pg_outflow_sent(struct pg_outflow *out, size_t length, bool end) {
    out->sent += length;
    if (out->sent > out->top) out->top = out->sent;
    if (end) out->end_sent = out->end_told = true;
}

bool pg_outflow_ack(struct pg_outflow *out, uint64_t received) {
    if (received > out->top) return false;
    if (received <= out->acked) return true;
    pg_ring_drop(&out->kept, (size_t)(received - out->acked));
    out->acked = received;
    if (out->sent < received) out->sent = received; /* what was about to be sent again has come after all */
    return true;
}

bool pg_outflow_rewind(struct pg_outflow *out, uint64_t received, bool end_seen) {
    if (received > out->top) return false;
    if (end_seen && (!out->end_told || received != out->top)) return false;
    if (received < out->acked) return true;
    out->sent = received;
    out->end_sent = end_seen;
    return true;
}

bool pg_outflow_done(const struct pg_outflow *out) {
    return out->end_sent && out->kept.length == 0;
}

void pg_inflow_init(struct pg_inflow *in, size_t window) {
    *in = (struct pg_inflow){0};
    pg_ring_init(&in->held, window);
}

void pg_inflow_clear(struct pg_inflow *in) {
    pg_ring_clear(&in->held);
}

uint64_t pg_inflow_received(const struct pg_inflow *in) {
    return in->passed + in->held.length;
}

/* Only a wide sender can have so much under way: it knows of every acknowledgement that was sent, or of fewer. */
static void note_width(struct pg_inflow *in) {
    if (pg_inflow_received(in) - in->told > pg_flow_first(in->held.max)) in->wide = true;
}

enum pg_inflow_result pg_inflow_take(struct pg_inflow *in, uint64_t offset, const void *bytes, size_t length, bool end) {
    uint64_t received = pg_inflow_received(in);
    uint64_t stop = offset + length; /* no overflow: the codec bounds offsets */
    if (stop > in->passed + in->held.max) return PG_INFLOW_ERROR;
    if (in->ended && (stop > received || (end && stop != received))) return PG_INFLOW_ERROR;
    if (offset > received) return PG_INFLOW_GAP;
    if (end && stop < received) return PG_INFLOW_ERROR;
    if (stop <= received && (!end || in->ended)) return PG_INFLOW_KNOWN;
    size_t known = (size_t)(received - offset);
    if (length > known && !pg_ring_append(&in->held, (const uint8_t *)bytes + known, length - known))
        return PG_INFLOW_ERROR; /* no memory */
    in->ended = in->ended || end;
    note_width(in);
    return PG_INFLOW_TAKEN;
}

const uint8_t *pg_inflow_peek(const struct pg_inflow *in, size_t *length) {
    return pg_ring_peek(&in->held, 0, length);
}

void pg_inflow_pass(struct pg_inflow *in, size_t length) {
    pg_ring_drop(&in->held, length);
    in->passed += length;
}

void pg_inflow_through(struct pg_inflow *in, size_t length, bool end) {
    in->passed += length;
    in->ended = end;
    note_width(in);
}

bool pg_inflow_done(const struct pg_inflow *in) {
    return in->ended && in->held.length == 0;
}

bool pg_inflow_should_tell(const struct pg_inflow *in) {
    return in->passed - in->told >= (in->wide ? in->held.max : pg_flow_first(in->held.max)) / 4;
}
