/* A listening socket on the loop. libwebsockets listens too, but not with our modes, errors and passed sockets. */
#ifndef BROKER_LISTENER_H
#define BROKER_LISTENER_H

#include "acceptor.h"
#include "address.h"
#include "share.h"

enum { LISTENER_ERROR_MAX = PG_ADDRESS_ERROR_MAX, LISTENER_PATH = PG_UNIX_PATH_MAX + 1 };

struct listener {
    struct pg_acceptor acceptor;
    int fd; /* -1: closed */
    bool is_unix;
    char path[LISTENER_PATH]; /* of a Unix socket that we made for ourselves, else "" */
    struct pg_share share;    /* closed where the socket is not shared */
    char name[160];           /* where it listens, for people: the port is the real one */
    const struct pg_log *log;
    void (*on_accept)(void *owner, struct listener *listener, int fd); /* takes over the descriptor (non-blocking) */
    void *owner;
};

struct listener_options {
    uv_loop_t *loop;
    const struct pg_log *log;
    const char *address; /* HOST:PORT, [IPV6]:PORT or unix:PATH; NULL: `fd` is the socket */
    bool share;          /* a unix:PATH that several brokers serve */
    int fd;
    void (*on_accept)(void *owner, struct listener *listener, int fd);
    void *owner;
};

/* Listens at an address that pg_address_check finds good. True, or false and a line for the user in `error` that says
 * what to do. A Unix socket has mode 0660; a stale one at its place is replaced. */
bool listener_open(struct listener *listener, const struct listener_options *options, char error[LISTENER_ERROR_MAX]);

/* Accepts nobody for the time being (they wait in the queue), and goes on. No effect on a closed one. */
void listener_hold(struct listener *listener);
void listener_resume(struct listener *listener);

/* Stops listening and removes a socket file of ours. The loop must run once more. No effect on a closed one. */
void listener_close(struct listener *listener);

#endif
