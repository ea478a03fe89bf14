/* Takes the connections of a listening socket, on the loop. Where there is no descriptor or memory left, the socket would stay
 * readable and the loop would turn in circles: it waits a little then, and the connections wait in the socket's queue. */
#ifndef PG_ACCEPTOR_H
#define PG_ACCEPTOR_H

#include <stdbool.h>
#include <uv.h>

enum { PG_ACCEPTS_A_TURN = 64, PG_ACCEPT_PAUSE_MS = 100 };

struct pg_acceptor_events {
    void (*on_accept)(void *owner, int fd);   /* takes over the descriptor, which is non-blocking and close-on-exec */
    void (*on_failure)(void *owner, int why); /* it waits now; `why` is accept4(2)'s errno. May be NULL */
};

struct pg_acceptor {
    uv_poll_t poll;
    uv_timer_t pause;
    int fd; /* borrowed; -1: closed */
    bool held;
    const struct pg_acceptor_events *events;
    void *owner;
};

/* Watches `fd`, which listens, is non-blocking and stays the caller's: it is to be closed after the acceptor. `events` and `owner` are
 * borrowed. False when libuv cannot watch it: then the acceptor is closed. */
bool pg_acceptor_open(struct pg_acceptor *acceptor, uv_loop_t *loop, int fd, const struct pg_acceptor_events *events, void *owner);

/* Accepts nobody for the time being, and goes on. May be called from the events; no effect on a closed one. */
void pg_acceptor_hold(struct pg_acceptor *acceptor);
void pg_acceptor_resume(struct pg_acceptor *acceptor);

/* Stops watching. The loop must run once more. May be called from the events; no effect on a closed one. */
void pg_acceptor_close(struct pg_acceptor *acceptor);

#endif
