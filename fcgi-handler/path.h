/* The way to an exchange's client, and who that client is (DESIGN section 5). Pure.
 *
 * A client attaches again and again, each time with a newer session; what it sent by an older one may arrive after what it sent by
 * a newer one. And a client may be started anew: then whatever the life before it had taken is lost with it. */
#ifndef PG_HANDLER_PATH_H
#define PG_HANDLER_PATH_H

#include "wire.h"

/* Zero-initialise. */
struct path {
    bool known;
    struct pg_envelope way; /* the newest that is known: where to send */
    uint64_t heard;         /* the newest session that the taker was heard by: Redis may have told of another life's since */
    uint32_t taker;         /* the life (pg_session_life) that has the exchange; 0 = none */
    uint32_t lost;          /* a life that had it, and is over */
};

enum path_sender {
    PATH_CURRENT, /* by the way that is known */
    PATH_CHANGED, /* by a newer one, which is the way from now on */
    PATH_STALE,   /* by an older one: what it says of the bytes is true, what it says of the position is old */
    PATH_FOREIGN, /* another life than the one that has the exchange */
    PATH_LOST     /* a life that is over */
};

/* A message has come by this way. Takes it as the way if it is newer; the first one's sender has the exchange from then on. */
enum path_sender path_heard(struct path *path, const struct pg_envelope *from);

/* Redis says that the tunnel's client is attached there. True when that is another way than the one known, which is taken then:
 * ask there for the exchange. `taker` stays: the one there may be another life. */
bool path_routed(struct path *path, const struct pg_envelope *to);

/* Is this by the way that Redis told of? Then a life that is not the taker has come after it. */
bool path_is_way(const struct path *path, const struct pg_envelope *from);

/* The life at the way has the exchange too (a copy of the request reached it), and the one that had it is over. */
void path_adopt(struct path *path);

/* The life that had the exchange is over: nobody has it, and what still comes of that life is PATH_LOST. */
void path_lose(struct path *path);

#endif
