/* The names of all keys in Redis, and nowhere else (DESIGN section 3). */
#ifndef PG_BUS_KEYS_H
#define PG_BUS_KEYS_H

#include "id.h"

enum { PG_KEY_MAX = 64 };

/* All keys of a shard carry its hash tag, so that a Redis Cluster can hold them; there is one shard so far. Scripts build the
 * inbox and alive names of another process with these too. */
#define PG_KEY_INBOX "pg:{0}:inbox:"
#define PG_KEY_ALIVE "pg:{0}:alive:"
#define PG_KEY_HANDLERS "pg:{0}:handlers" /* set: processes (hex) that want to hear of new routes */

#define PG_INBOX_MS 60000      /* an inbox that nobody reads is gone after this; the scripts have it, too */
#define PG_INBOX_NEWS_MAX 4096 /* scripts tell no news to a handler that has so much unread */

struct pg_key {
    char text[PG_KEY_MAX];
    size_t length;
};

struct pg_key pg_key_requests(const struct pg_id *tunnel); /* list: envelope + OPEN, oldest first */
struct pg_key pg_key_route(const struct pg_id *tunnel);    /* hash: broker, session, instance (hex) */
struct pg_key pg_key_inbox(const struct pg_id *process);   /* list: messages for the process */
struct pg_key pg_key_alive(const struct pg_id *process);   /* string with a lease: the process lives */

#endif
