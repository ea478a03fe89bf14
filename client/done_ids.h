/* The exchanges that were finished last: a copy of a request that comes when all is over must not be done again (WIRE.md). Only their
 * ids, DONE_IDS_MAX of them at most; then the oldest is forgotten. */
#ifndef CLIENT_DONE_IDS_H
#define CLIENT_DONE_IDS_H

#include "id.h"

enum { DONE_IDS_MAX = 16384 };

/* Zero-initialise. Takes its memory, about 340 KB, with the first id. */
struct done_ids {
    struct done_ids_table *table;
};

/* Adds an id that is not in it. Without memory nothing is remembered. */
void done_ids_add(struct done_ids *done, const struct pg_id *id);

bool done_ids_has(const struct done_ids *done, const struct pg_id *id);

void done_ids_free(struct done_ids *done);

#endif
