/* Keeps the tunnel attached: connects, waits, connects again for ever; pings; notices a dead link, and a machine that
 * slept; moves to another broker when its own drains. */
#ifndef CLIENT_TUNNEL_H
#define CLIENT_TUNNEL_H

#include "broker_link.h"
#include "config.h"

struct tunnel;

enum { TUNNEL_EXIT_REFUSED = 3 };

struct tunnel_options {
    uv_loop_t *loop;
    struct config *config;
    const struct pg_id *instance;
    /* Callbacks come from the loop; none after tunnel_close but on_closed. */
    void (*on_attached)(void *owner, struct link *link, const struct pg_attached *attached);
    void (*on_detached)(void *owner); /* the link of the last on_attached is gone; not when another took its place */
    void (*on_resync)(void *owner);
    void (*on_room)(void *owner);                                       /* the link of the last on_attached has room again */
    const char *(*on_frame)(void *owner, const struct pg_frame *frame); /* NULL, or what is wrong with it */
    void (*on_heartbeat)(void *owner);                                  /* every few seconds, attached or not */
    void (*on_refused)(void *owner);                                    /* it makes no sense to try again; the reason is logged */
    void *owner;
};

/* Begins to connect. NULL: no memory. */
struct tunnel *tunnel_new(const struct tunnel_options *options);

/* Says goodbye to the broker, closes everything; frees it and calls `on_closed` from the loop, within 2 s or so. */
void tunnel_close(struct tunnel *tunnel, void (*on_closed)(void *owner));

#endif
