/* Where the clients of busy tunnels are: the session that each was heard by last. A request of such a tunnel goes straight to its broker,
 * and is spared the list in Redis, the bell and the broker's asking for it: a third of what Redis does for a small request, and 0.1 ms.
 * What is sent so may be lost with the broker, or not taken there: then it is pushed into the list, as any other. Pure.
 *
 * A table of a fixed size: of two tunnels that want the same place, the one that was heard last has it. */
#ifndef PG_HANDLER_WAYS_H
#define PG_HANDLER_WAYS_H

#include "wire.h"

enum {
    WAYS_MAX = 1024,
    WAYS_FRESH_MS = 1000, /* a way leads there so long after it was heard */
    WAYS_CLOSED_MS = 2000 /* after a request was not taken: so long none is sent there */
};

struct way {
    struct pg_envelope to; /* all zero: none */
    uint64_t heard_ms;
    uint64_t closed_until_ms;
};

/* Zero-initialise. */
struct ways {
    struct way table[WAYS_MAX];
};

/* A client was heard by this session. Times are of any clock that only goes forward. */
void ways_heard(struct ways *ways, const struct pg_envelope *from, uint64_t now_ms);

/* The way to the tunnel's client, until the next call of the others; NULL: none that is fresh and not closed. */
const struct pg_envelope *ways_find(const struct ways *ways, const struct pg_id *tunnel, uint64_t now_ms);

/* Requests were not taken by that session: sends none by the tunnel's way for a while, unless that is another session by now. */
void ways_close(struct ways *ways, const struct pg_id *tunnel, uint64_t session, uint64_t now_ms);

/* The client has attached as this session: forgets another way. */
void ways_leave(struct ways *ways, const struct pg_id *tunnel, uint64_t session);

/* Redis was away: who is where is not known any more. */
void ways_forget(struct ways *ways);

#endif
