/* The tunnels that have a client here, and the reading of the requests that wait for them in Redis. */
#ifndef BROKER_TUNNEL_H
#define BROKER_TUNNEL_H

#include "bus.h"

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct broker;
struct session;

struct tunnel {
    struct pg_id id;
    struct session *sessions; /* all clients here that want or have it; the newest is last */
    struct session *holder;   /* the one that has it: gets the requests; NULL = none */
    bool taking;              /* a pg_bus_take is under way */
    bool more;                /* requests may wait in Redis: the bell rang, or the last take was full */
    UT_hash_handle hh;
};

/* NULL: none. */
struct tunnel *tunnel_find(struct broker *broker, const struct pg_id *id);

/* Finds or makes it. NULL: no memory. */
struct tunnel *tunnel_get(struct broker *broker, const struct pg_id *id);

/* Frees it if nothing needs it any more. */
void tunnel_release(struct broker *broker, struct tunnel *tunnel);

/* When the bus is closed and no session is left: frees those that were being read. */
void tunnel_free_all(struct broker *broker);

/* Its session with this id, or NULL. */
struct session *tunnel_session(const struct tunnel *tunnel, uint64_t session);

/* Takes requests if there may be some, a client to give them to, and room before it. Call it whenever one of these
 * became true. */
void tunnel_take(struct broker *broker, struct tunnel *tunnel);

/* The bus' on_request, on_taken and on_message; `owner` is the broker. */
void tunnel_on_request(void *owner, const struct pg_id *id, const uint8_t *frame, size_t length);
void tunnel_on_taken(void *owner, const struct pg_id *id, size_t count, enum pg_bus_result result);
void tunnel_on_message(void *owner, const struct pg_envelope *envelope, const uint8_t *frame, size_t length);

#endif
