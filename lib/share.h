/* One listening Unix socket served by several processes (--share), so that no web server notices when one of them dies, ends or
 * is replaced: what has connected and was not accepted yet is accepted by another.
 *
 * Beside the socket PATH stand PATH.share, a socket at which every process that serves PATH passes both listening descriptors on
 * to a new one (SCM_RIGHTS, unix(7)), and PATH.lock, which is held (flock(2)) while one joins. They work between containers that
 * share the directory. Whoever may connect to PATH.share (mode 0660) may serve: that is the same group that may connect to PATH. */
#ifndef PG_SHARE_H
#define PG_SHARE_H

#include "acceptor.h"
#include "log.h"
#include "unix_socket.h"

/* How long a start may take to get the lock, and the descriptors from a process that lives. */
enum { PG_SHARE_PATIENCE_MS = 10000 };

struct pg_share {
    struct pg_acceptor acceptor; /* of the door */
    int listener;                /* at PATH: what is passed on; borrowed from whoever called pg_share_open */
    int door;                    /* at PATH.share; -1: closed */
    const struct pg_log *log;
    char path[PG_UNIX_PATH_MAX + 1];
};

/* Joins those who serve `path`, or is the first. Blocks, for PG_SHARE_PATIENCE_MS at most: for the start of a program; SIGTERM and SIGINT
 * are held back meanwhile, and end the waiting. Returns the listening descriptor, which the caller owns, or -1 and a sentence in `error`.
 * From then on, on the loop, the share passes it on; it must stay open for as long as the share is. `log` is borrowed. */
int pg_share_open(struct pg_share *share, uv_loop_t *loop, const struct pg_log *log, const char *path,
                  char error[PG_UNIX_ERROR_MAX]);

/* Stops passing on, and removes the files of both sockets where nobody else serves them. Call it when the listening descriptor has
 * been closed, in the same turn of the loop: who finds the door shut must find the socket free. The loop must run once more. No
 * effect on one that is closed. */
void pg_share_close(struct pg_share *share);

#endif
