/* What one loop turn sends, gathered per destination. Internal to the bus; pure but for the memory it takes. */
#ifndef PG_BUS_OUTBOX_H
#define PG_BUS_OUTBOX_H

#include "wire.h"

enum pg_batch_kind { PG_BATCH_OPEN, PG_BATCH_AGAIN /* an OPEN once more */, PG_BATCH_SEND };

enum { PG_BATCH_MAX = 128 }; /* messages in one push; what is more goes into the next */

/* Messages for one destination. Owned by the outbox until pg_outbox_take. */
struct pg_batch {
    enum pg_batch_kind kind;
    struct pg_id to; /* a tunnel (OPEN) or a process (SEND) */
    void *owner;     /* free for whoever took it */
    size_t count;
    size_t bytes;
    char *messages[PG_BATCH_MAX]; /* each malloc'd */
    size_t lengths[PG_BATCH_MAX];
    struct pg_id exchanges[PG_BATCH_MAX]; /* of OPENs; zero of other messages */
    struct pg_batch *previous, *next;
};

/* Batches in the order in which their first messages came. Zero-initialise. */
struct pg_outbox {
    struct pg_batch *batches;
    size_t bytes;
};

/* Adds a message made of three pieces (each may be empty), copied. `exchange` only for an OPEN, else NULL. False when memory is out. */
bool pg_outbox_add(struct pg_outbox *outbox, enum pg_batch_kind kind, const struct pg_id *to, const struct pg_id *exchange,
                   const uint8_t *const pieces[3], const size_t lengths[3]);

/* Takes out the oldest batch, or returns NULL. Free it with pg_batch_free. */
struct pg_batch *pg_outbox_take(struct pg_outbox *outbox);

/* Frees the messages, keeping the ids; then the rest. */
void pg_batch_free_messages(struct pg_batch *batch);
void pg_batch_free(struct pg_batch *batch);

void pg_outbox_clear(struct pg_outbox *outbox);

#endif
