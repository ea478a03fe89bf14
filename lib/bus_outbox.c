#include "bus_outbox.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* A loop turn has a handful of destinations at most, and mostly one: a walk beats a table. The newest are looked at first,
 * and only a few of them, so that many destinations cost an extra push and not a long walk. */
enum { LOOK_BACK = 16 };

static struct pg_batch *find(struct pg_outbox *outbox, enum pg_batch_kind kind, const struct pg_id *to) {
    struct pg_batch *batch = outbox->batches ? outbox->batches->previous : NULL; /* utlist: head's previous = tail */
    for (int i = 0; batch && i < LOOK_BACK; i++) {
        if (batch->kind == kind && pg_id_equal(&batch->to, to)) return batch->count < PG_BATCH_MAX ? batch : NULL;
        if (batch == outbox->batches) break;
        batch = batch->previous;
    }
    return NULL;
}

static struct pg_batch *add_batch(struct pg_outbox *outbox, enum pg_batch_kind kind, const struct pg_id *to) {
    struct pg_batch *batch = malloc(sizeof *batch);
    if (!batch) return NULL;
    batch->kind = kind;
    batch->to = *to;
    batch->count = 0;
    batch->bytes = 0;
    DL_APPEND2(outbox->batches, batch, previous, next);
    return batch;
}

bool pg_outbox_add(struct pg_outbox *outbox, enum pg_batch_kind kind, const struct pg_id *to, const struct pg_id *exchange,
                   const uint8_t *const pieces[3], const size_t lengths[3]) {
    size_t length = lengths[0] + lengths[1] + lengths[2];
    char *message = malloc(length);
    if (!message) return false;
    struct pg_batch *batch = find(outbox, kind, to);
    if (!batch) batch = add_batch(outbox, kind, to);
    if (!batch) {
        free(message);
        return false;
    }
    char *at = message;
    for (size_t i = 0; i < 3; i++) {
        if (lengths[i]) memcpy(at, pieces[i], lengths[i]);
        at += lengths[i];
    }
    batch->exchanges[batch->count] = exchange ? *exchange : (struct pg_id){{0}};
    batch->messages[batch->count] = message;
    batch->lengths[batch->count++] = length;
    batch->bytes += length;
    outbox->bytes += length;
    return true;
}

struct pg_batch *pg_outbox_take(struct pg_outbox *outbox) {
    struct pg_batch *batch = outbox->batches;
    if (!batch) return NULL;
    DL_DELETE2(outbox->batches, batch, previous, next);
    outbox->bytes -= batch->bytes;
    return batch;
}

void pg_batch_free_messages(struct pg_batch *batch) {
    for (size_t i = 0; i < batch->count; i++) {
        free(batch->messages[i]);
        batch->messages[i] = NULL;
    }
}

void pg_batch_free(struct pg_batch *batch) {
    pg_batch_free_messages(batch);
    free(batch);
}

void pg_outbox_clear(struct pg_outbox *outbox) {
    struct pg_batch *batch;
    while ((batch = pg_outbox_take(outbox))) pg_batch_free(batch);
}
