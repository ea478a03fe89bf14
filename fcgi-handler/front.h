/* The front's side: FastCGI connections from Caddy, Apache or another web server. The only part that knows libfcgi.
 *
 * libfcgi reads and writes with blocking calls, so a reactor (an epoll set, within the uv loop) decides when a call cannot block:
 * a request is handed to libfcgi when its records are in the kernel's buffer, a small response fits the empty send buffer, and
 * larger output goes out as records of our own with MSG_DONTWAIT. Bodies are read past libfcgi, as far as they are here. What might
 * block all the same (a very large header block, a record of a body of which only the header has come) is done by libuv's thread pool. A
 * request in flight holds no thread.
 *
 * Everything here is called on, and calls back on, the loop's thread. */
#ifndef PG_FRONT_H
#define PG_FRONT_H

#include "log.h"

#include <uv.h>

struct front;
struct visit; /* one request of a visitor, from its head to the end of its response */

struct front_options {
    uv_loop_t *loop;
    const struct pg_log *log;
    int listener;             /* a listening Unix stream socket; borrowed until front_stop_accepting */
    unsigned connections_max; /* more wait in the listen queue */
    /* After front_stop_accepting: front_unfinished is 0. May come more than once, and from within a call to the front. */
    void (*on_finished)(void *owner);
    /* A request's head is in. The owner answers, or takes it with visit_take and answers later. */
    void (*on_visit)(void *owner, struct visit *visit);
    void *owner;
};

/* What happens to a visit that was taken. After on_gone, and after any of visit_answer, visit_finish, visit_break, the visit is
 * no longer the owner's and nothing more is called. */
struct visit_events {
    /* The body bytes asked for with visit_want_body (0 of them only with `end`). Borrowed for the call. */
    void (*on_body)(void *owner, const uint8_t *bytes, size_t length, bool end);
    /* There is room again after visit_write took less than it was given. */
    void (*on_room)(void *owner);
    /* The front hung up, or the body broke off. */
    void (*on_gone)(void *owner);
};

/* Makes the front, which accepts nothing yet. NULL after a line in the log: no memory, or a libfcgi that is not the one this was
 * written for. FCGX_Init must not have installed its signal handlers before the program's own: this calls it. */
struct front *front_new(const struct front_options *options);

/* From now on connections are accepted. */
void front_start_accepting(struct front *front);

/* No more connections. Visits go on; who has connected may still send a request, for a few seconds where it is the first and for
 * one where the connection was kept; each connection ends with the response. */
void front_stop_accepting(struct front *front);

/* Connections whose response is not wholly out, or that a request is coming in on, or may be: not to be cut off. Once no more are
 * accepted, on_finished tells when it is 0. */
unsigned front_unfinished(const struct front *front);

/* Visits and connections under way. */
unsigned front_connections(const struct front *front);

/* Drops everything (visits see no callback), then calls `on_closed` from the loop and frees. */
void front_close(struct front *front, void (*on_closed)(void *owner));

/* NULL-terminated "NAME=VALUE" texts, valid as long as the visit. */
char **visit_params(const struct visit *visit);

void visit_take(struct visit *visit, const struct visit_events *events, void *owner);

/* Reads of the body what can be read without waiting, at most `max` bytes; *end = it was all. */
size_t visit_read_now(struct visit *visit, uint8_t *to, size_t max, bool *end);

/* Asks for 1 to `max` more body bytes, or the end: on_body follows, once. Not while one is asked for, nor after the end. */
void visit_want_body(struct visit *visit, size_t max);

/* From now on on_gone is told of a hang-up (before, only when something is read or written: watching costs a system call that
 * short requests need not pay). */
void visit_watch(struct visit *visit);

/* Sends output (CGI head and body) and returns how many bytes were taken; less than `length` means that there is no room:
 * on_room follows. The first write of a visit takes up to 64 KiB for certain. */
size_t visit_write(struct visit *visit, const uint8_t *bytes, size_t length);

/* Sends a whole small response and ends the visit. At most VISIT_ANSWER_MAX bytes, and nothing was written before. */
void visit_answer(struct visit *visit, const char *bytes, size_t length);
enum { VISIT_ANSWER_MAX = 8000 };

/* Ends the visit; all output has been taken. The rest of the body, if any, is read and thrown away (Caddy reads no response
 * before it has sent the whole body). */
void visit_finish(struct visit *visit);

/* When a connection is broken off so that the visitor sees that the response is not whole. */
enum visit_break {
    VISIT_BREAK_AT_ONCE,
    VISIT_BREAK_LATE, /* some seconds after the front has read what was written. One that gathers the response's beginning takes a
                       * hang-up that comes with it for the end */
    VISIT_BREAK_NEVER /* the front takes any hang-up for the end. The front ends it, when the visitor leaves; or we when we end, or when
                       * there are too many, the first one */
};

/* Ends the visit so that the response looks broken. Of the request, what is left of an upload is not read: it is to stop; the end
 * of one without a body is. */
void visit_break(struct visit *visit, enum visit_break when);

#endif
