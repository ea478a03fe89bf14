/* The two halves of a byte stream of an exchange: what one end sent and keeps until it is acknowledged (pg_outflow), and what
 * the other end took in order and has not passed on yet (pg_inflow). Pure: no sockets, no clock. Neither ever holds more than
 * one window. A receiver takes PG_WINDOW; a sender begins with a quarter of it, and where that is what holds it up it may become wide:
 * so that many slow streams hold little, and few fast ones are not slowed down by the way's length. */
#ifndef PG_FLOW_H
#define PG_FLOW_H

#include "ring.h"

struct pg_outflow {
    struct pg_ring kept; /* bytes [acked, acked + kept.length) */
    uint64_t acked;      /* the other end has passed on all before this */
    uint64_t sent;       /* next offset to send */
    uint64_t top;        /* beyond the last byte that was ever sent: `sent` goes back when something is sent again */
    bool ended;          /* the last byte is in: the stream is acked + kept.length long */
    bool end_sent;
    bool end_told; /* it was sent before, perhaps in vain */
};

/* What a sender begins with where the receiver takes `window`. */
size_t pg_flow_first(size_t window);

void pg_outflow_init(struct pg_outflow *out, size_t window);
void pg_outflow_clear(struct pg_outflow *out);

/* From now on there is a larger window. */
void pg_outflow_widen(struct pg_outflow *out, size_t window);

/* Bytes that may be appended now: the rest of the window. */
size_t pg_outflow_room(const struct pg_outflow *out);

/* Appends all of it or, when that is more than the room or memory is out, nothing and returns false. Not after the end. */
bool pg_outflow_append(struct pg_outflow *out, const void *bytes, size_t length);

/* The stream ends after what was appended. */
void pg_outflow_end(struct pg_outflow *out);

/* What to send next: at most `max` bytes in one piece at out->sent (0 bytes with *end: only the end is left to tell). False
 * when there is nothing. Call pg_outflow_sent with what was really taken. */
bool pg_outflow_next(const struct pg_outflow *out, size_t max, const uint8_t **bytes, size_t *length, bool *end);
void pg_outflow_sent(struct pg_outflow *out, size_t length, bool end);

/* The other end has passed on all before `received`. False when it cannot have: more than was sent. Less than before is old
 * news and is ignored. */
bool pg_outflow_ack(struct pg_outflow *out, uint64_t received);

/* The other end has taken all before `received` (RESUME), and the end if `end_seen`: sends again from there. Less than it has
 * acknowledged is old news, by a way that was slower, and is ignored. False, and nothing changed, when it cannot have. */
bool pg_outflow_rewind(struct pg_outflow *out, uint64_t received, bool end_seen);

/* Everything sent and acknowledged, the end included? */
bool pg_outflow_done(const struct pg_outflow *out);

struct pg_inflow {
    struct pg_ring held; /* bytes [passed, passed + held.length) */
    uint64_t passed;     /* passed on to whoever reads */
    uint64_t told;       /* the last acknowledgement that was sent */
    bool ended;          /* the end was taken: the stream is passed + held.length long */
    bool wide;           /* the sender has had more than a quarter of the window under way */
};

enum pg_inflow_result {
    PG_INFLOW_TAKEN,
    PG_INFLOW_KNOWN, /* all of it was here before */
    PG_INFLOW_GAP,   /* it begins beyond what is here: something is missing */
    PG_INFLOW_ERROR  /* beyond the window, beyond the end, another end, or no memory */
};

void pg_inflow_init(struct pg_inflow *in, size_t window);
void pg_inflow_clear(struct pg_inflow *in);

/* Offset of the next byte wanted. */
uint64_t pg_inflow_received(const struct pg_inflow *in);

/* Takes what is new of `length` bytes at `offset`; with `end` the stream ends behind them. */
enum pg_inflow_result pg_inflow_take(struct pg_inflow *in, uint64_t offset, const void *bytes, size_t length, bool end);

/* The next bytes to pass on, in one piece; then say how many were. */
const uint8_t *pg_inflow_peek(const struct pg_inflow *in, size_t *length);
void pg_inflow_pass(struct pg_inflow *in, size_t length);

/* Counts bytes as taken and passed on at once, without holding them: only when nothing is held and they begin at the
 * offset wanted. The caller has checked both. */
void pg_inflow_through(struct pg_inflow *in, size_t length, bool end);

/* All passed on, the end included? */
bool pg_inflow_done(const struct pg_inflow *in);

/* True when an acknowledgement is worth sending: a quarter of the sender's window was passed on since the last. Sending it, note
 * in->told = in->passed. */
bool pg_inflow_should_tell(const struct pg_inflow *in);

#endif
