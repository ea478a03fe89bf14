/* The handler's own pages over plain HTTP (--admin): for health checks and Prometheus, which must reach this very process and not one of
 * those that share its FastCGI socket. The only part that knows libmicrohttpd, which serves a few connections on the loop. */
#ifndef PG_ADMIN_H
#define PG_ADMIN_H

#include "acceptor.h"
#include "address.h"

#include <stdbool.h>
#include <uv.h>

struct MHD_Daemon;
struct handler;

enum { ADMIN_CONNECTIONS_MAX = 64, ADMIN_TIMEOUT_SECONDS = 10, ADMIN_MEMORY_MAX = 8192 /* a connection: its request's head */ };

struct admin {
    struct MHD_Daemon *daemon; /* NULL: closed */
    int listener;
    struct pg_acceptor acceptor;
    uv_poll_t poll;                  /* of the daemon's epoll set */
    uv_timer_t timer;                /* of its connections' time-outs */
    char made[PG_UNIX_PATH_MAX + 1]; /* a socket file that is ours to remove, or "" */
};

/* Begins to serve at `address` (pg_address_check finds it good). False, and a sentence in `error` that says what to do. */
bool admin_open(struct admin *admin, struct handler *handler, uv_loop_t *loop, const char *address,
                char error[PG_ADDRESS_ERROR_MAX]);

/* Ends it; the loop must run once more. No effect on one that is closed. */
void admin_close(struct admin *admin);

#endif
