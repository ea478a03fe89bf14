/* The FastCGI socket: made here, shared with other handlers, or passed by systemd or spawn-fcgi. */
#ifndef PG_LISTENER_H
#define PG_LISTENER_H

#include "share.h"

struct listener {
    int fd;                          /* non-blocking; -1: closed */
    char made[PG_UNIX_PATH_MAX + 1]; /* a socket file that is ours to remove, or "" */
    struct pg_share share;           /* closed where the socket is not shared */
};

/* A listening Unix stream socket: at `path` (made with mode 0660; a socket file nobody listens on is replaced), which several
 * handlers serve where `share` is set; or with NULL the one systemd passed, or descriptor 0. Blocks where it is shared: for the start.
 * False after one line on the log that says what to do. */
bool listener_open(struct listener *listener, uv_loop_t *loop, const struct pg_log *log, const char *path, bool share);

/* Stops listening, and removes the socket's file where it is ours and nobody else serves it. The loop must run once more. May be
 * called twice. */
void listener_close(struct listener *listener);

#endif
