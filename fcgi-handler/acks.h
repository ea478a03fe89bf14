/* Completions, told to the clients in batches: one ACK frame for many exchanges of a session (DESIGN section 5). */
#ifndef PG_ACKS_H
#define PG_ACKS_H

#include "bus.h"

enum { ACKS_SESSIONS = 32, ACKS_ENTRIES = 256, ACKS_DELAY_MS = 100 };

struct acks_batch {
    struct pg_envelope path; /* broker zero = unused */
    size_t count;
    uint8_t entries[ACKS_ENTRIES * PG_ACK_ENTRY];
};

struct acks {
    struct pg_bus *bus;
    struct pg_id handler;
    uv_timer_t timer;                          /* runs only while something waits */
    struct acks_batch *batches[ACKS_SESSIONS]; /* each allocated at its first use */
};

void acks_init(struct acks *acks, uv_loop_t *loop, struct pg_bus *bus, const struct pg_id *handler);

/* Adds an entry to the session's batch; sent within ACKS_DELAY_MS, or at once when the batch is full. */
void acks_add(struct acks *acks, const struct pg_envelope *path, const struct pg_ack *ack);

/* Sends an entry now, in a frame of its own: for credit that somebody waits for. */
bool acks_send_now(struct acks *acks, const struct pg_envelope *path, const struct pg_ack *ack);

/* Sends all that waits. */
void acks_flush(struct acks *acks);

/* Flushes, and closes the timer (its memory is the owner's, until the loop has run). */
void acks_close(struct acks *acks);

#endif
