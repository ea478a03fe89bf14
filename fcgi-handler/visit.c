#include "visit.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include <utlist.h>

enum {
    STALL_SECONDS = 5,       /* a front that stops in the middle of a record is given up after this */
    BREAK_LATE_MS = 2000,    /* after the front has read all, as seen once a second ... */
    BREAK_LATEST_MS = 10000, /* ... or does not: by then it has sent the head long ago, and its visitor does not read */
    HELD_MAX = 256
};

_Static_assert((int)VISIT_ANSWER_MAX <= (int)FASTCGI_ANSWER_MAX, "an answer is held by libfcgi");

/* --- birth and death --- */

void visit_watch_all(struct visit *visit) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = visit};
    if (visit->in_epoll) return;
    visit->in_epoll = epoll_ctl(visit->front->epoll, EPOLL_CTL_ADD, visit->fd, &event) == 0;
}

static void free_visit(struct visit *visit) {
    if (visit->request) fastcgi_free(visit->request);
    if (visit->fd >= 0) close(visit->fd); /* leaves the epoll set with it */
    free(visit->chunk);
    free(visit);
}

/* Frees a closed visit, now or after the events at hand; or leaves that to the thread's callback or on_soon, which call again. */
void visit_bury(struct visit *visit) {
    struct front *front = visit->front;
    if (visit->busy || visit->parked) return;
    if (!front->dispatching) {
        free_visit(visit);
        return;
    }
    visit->next_parked = front->dead;
    front->dead = visit;
}

void visit_set_state(struct visit *visit, enum visit_state state) {
    struct front *front = visit->front;
    front->in_state[visit->state]--;
    visit->state = state;
    front->in_state[state]++;
    if (!front->accepting && !front->closing && front_unfinished(front) == 0) front->options.on_finished(front->options.owner);
}

/* Ends the connection. The owner has been told, or did it. */
void visit_close(struct visit *visit) {
    struct front *front = visit->front;
    if (visit->state == VISIT_CLOSED) return;
    visit_set_state(visit, VISIT_CLOSED);
    DL_DELETE2(front->visits, visit, previous, next);
    front->count--;
    front_pause_accepting(front, false);
    if (visit->busy) shutdown(visit->fd, SHUT_RDWR); /* wakes the thread */
    visit_bury(visit);
}

void visit_lose(struct visit *visit) {
    const struct visit_events *events = visit->state == VISIT_ACTIVE ? visit->events : NULL;
    void *owner = visit->owner;
    visit->events = NULL;
    visit_close(visit);
    if (events) events->on_gone(owner);
}

static void lose_soon(struct visit *visit) {
    visit->lost = true;
    front_serve_soon(visit);
}

/* --- work that may block --- */

static void accept_on_thread(uv_work_t *work) {
    struct visit *visit = work->data;
    visit->request = fastcgi_accept(visit->fd);
}

static void read_on_thread(uv_work_t *work) {
    struct visit *visit = work->data;
    visit->chunk_length = 0;
    do {
        visit->chunk_length += fastcgi_read(visit->request, visit->chunk + visit->chunk_length,
                                            visit->wants_body - visit->chunk_length, &visit->chunk_state);
    } while (visit->chunk_state == FASTCGI_MORE && visit->chunk_length < visit->wants_body && fastcgi_can_read(visit->request));
}

void visit_hand_over(struct visit *visit, bool whole) {
    struct front *front = visit->front;
    visit->whole = whole;
    visit->body_over = visit->read_some = false;
    visit->answered = visit->wants_room = false;
    visit->wants_body = 0;
    visit->record_left = visit->header_left = 0;
    visit->events = NULL;
    visit->served = true;
    visit_set_state(visit, VISIT_ACTIVE);
    front->options.on_visit(front->options.owner, visit);
}

static void deliver_body(struct visit *visit, const uint8_t *bytes, size_t length, enum fastcgi_body state) {
    visit->wants_body = 0;
    if (state != FASTCGI_MORE) visit->body_over = true;
    if (state == FASTCGI_BROKEN) visit_lose(visit);
    else visit->events->on_body(visit->owner, bytes, length, state == FASTCGI_END);
}

static void on_accepted(uv_work_t *work, int status) {
    struct visit *visit = work->data;
    (void)status;
    visit->busy = false;
    if (!visit->request) visit->fd = -1; /* closed by libfcgi */
    visit->front->threads--;
    if (visit->state == VISIT_CLOSED) visit_bury(visit);
    else if (!visit->request) visit_close(visit);
    else visit_hand_over(visit, false);
}

static void on_read(uv_work_t *work, int status) {
    struct visit *visit = work->data;
    uint8_t *chunk = visit->chunk;
    (void)status;
    visit->busy = false;
    visit->chunk = NULL;
    visit->front->threads--;
    if (visit->state == VISIT_CLOSED) visit_bury(visit);
    else if (visit->state == VISIT_ACTIVE) deliver_body(visit, chunk, visit->chunk_length, visit->chunk_state);
    else front_serve(visit);
    free(chunk);
}

static void start_thread(struct visit *visit, uv_work_cb run, uv_after_work_cb done) {
    struct timeval stall = {.tv_sec = STALL_SECONDS};
    /* Threads read only when something is there; this ends the wait for the rest of a record. */
    if (!visit->has_timeout) setsockopt(visit->fd, SOL_SOCKET, SO_RCVTIMEO, &stall, sizeof stall);
    visit->has_timeout = true;
    visit->work.data = visit;
    visit->busy = true;
    visit->front->threads++;
    if (uv_queue_work(visit->front->options.loop, &visit->work, run, done) == 0) return;
    visit->busy = false;
    visit->front->threads--;
    lose_soon(visit);
}

void visit_accept_on_thread(struct visit *visit) {
    visit_set_state(visit, VISIT_ACCEPTING);
    start_thread(visit, accept_on_thread, on_accepted);
}

static bool hung_up(const struct visit *visit) {
    uint8_t byte;
    return recv(visit->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

void visit_read_body(struct visit *visit) {
    enum fastcgi_body state;
    size_t length = fastcgi_read_ready(visit->request, visit->front->body, visit->wants_body, &state);
    if (length || state != FASTCGI_MORE) {
        deliver_body(visit, visit->front->body, length, state);
        return;
    }
    if (!fastcgi_can_read(visit->request)) {
        visit_watch_all(visit);
        if (hung_up(visit)) lose_soon(visit);
        return;
    }
    visit->chunk = malloc(visit->wants_body);
    if (!visit->chunk) {
        lose_soon(visit);
        return;
    }
    start_thread(visit, read_on_thread, on_read);
}

/* --- after the response --- */

static void free_request(struct visit *visit) {
    if (visit->request) fastcgi_free(visit->request);
    visit->request = NULL;
}

bool visit_has_input(const struct visit *visit) {
    uint8_t byte;
    return recv(visit->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* A response is out, and its request is in: the connection is for the next one. */
static void reuse(struct visit *visit) {
    free_request(visit);
    if (visit->front->accepting) {
        visit_set_state(visit, VISIT_WAITING);
        visit_watch_all(visit);
    } else if (visit_has_input(visit)) { /* the front did not know that we are about to end */
        visit_set_state(visit, VISIT_WAITING);
        visit_watch_all(visit);
        front_serve_soon(visit);
    } else {
        visit_close(visit);
    }
}

/* The connection is not kept: all that still comes is of no use, but to close on it would cut off what the front has not read. */
static void linger(struct visit *visit, bool skips) {
    struct front *front = visit->front;
    shutdown(visit->fd, SHUT_WR);
    visit->skips = skips;
    visit_set_state(visit, VISIT_LINGERING);
    visit->active_ms = uv_now(front->options.loop);
    front_start_sweep(front);
    front_serve(visit);
}

void visit_linger_on(struct visit *visit) {
    struct front *front = visit->front;
    enum record_skipped skipped = RECORD_SKIP_MORE;
    size_t used;
    ssize_t got;
    do {
        got = recv(visit->fd, front->peek, VISIT_PEEK_MAX, MSG_DONTWAIT);
        if (got <= 0) break;
        visit->active_ms = uv_now(front->options.loop);
        if (!visit->skips) continue;
        skipped = record_skip(&visit->skip, front->peek, (size_t)got, &used);
        if (skipped == RECORD_SKIP_MORE) record_skip_keep(&visit->skip, front->peek + used, (size_t)got - used);
    } while (got == VISIT_PEEK_MAX && skipped == RECORD_SKIP_MORE);
    if (got == 0 || (got < 0 && errno != EAGAIN) || skipped != RECORD_SKIP_MORE) visit_close(visit);
    else visit_watch_all(visit);
}

/* Looks at what is there and takes of it only what is of this request. */
void visit_skip_rest(struct visit *visit) {
    struct front *front = visit->front;
    enum record_skipped skipped;
    size_t used;
    ssize_t got;
    do {
        got = recv(visit->fd, front->peek, VISIT_PEEK_MAX, MSG_PEEK | MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN)) {
            visit_close(visit);
            return;
        }
        if (got < 0) break;
        skipped = record_skip(&visit->skip, front->peek, (size_t)got, &used);
        if (used > 0 && recv(visit->fd, front->peek, used, MSG_DONTWAIT) != (ssize_t)used) skipped = RECORD_SKIP_BAD;
        if (skipped == RECORD_SKIP_OVER) {
            front_serve_soon(visit); /* the next may be here too, and its event spent */
            reuse(visit);
            return;
        }
        if (skipped == RECORD_SKIP_BAD) {
            visit_close(visit);
            return;
        }
    } while (got == VISIT_PEEK_MAX);
    visit_watch_all(visit);
}

/* --- what front.h offers --- */

char **visit_params(const struct visit *visit) {
    return fastcgi_params(visit->request);
}

void visit_take(struct visit *visit, const struct visit_events *events, void *owner) {
    visit->events = events;
    visit->owner = owner;
}

size_t visit_read_now(struct visit *visit, uint8_t *to, size_t max, bool *end) {
    size_t length = 0;
    *end = false;
    if (!visit->whole) return 0; /* it might block */
    while (length < max && !visit->body_over) {
        enum fastcgi_body state;
        length += fastcgi_read(visit->request, to + length, max - length, &state);
        if (state == FASTCGI_MORE) continue;
        visit->body_over = true;
        *end = state == FASTCGI_END;
    }
    return length;
}

void visit_want_body(struct visit *visit, size_t max) {
    visit->wants_body = max < VISIT_BODY_MAX ? max : VISIT_BODY_MAX;
    visit->read_some = true;
    visit->whole = false;
    if (visit->body_over) lose_soon(visit); /* it broke, or the owner would not ask */
    else front_serve_soon(visit);           /* the owner must not be called back from within this */
}

void visit_watch(struct visit *visit) {
    visit_watch_all(visit);
}

/* Sends what is left of the record's header and as much of the bytes as belong to it. Returns payload bytes sent, -1 when the
 * socket is full or gone. */
static ssize_t send_piece(struct visit *visit, const uint8_t *bytes, size_t length) {
    struct iovec pieces[2] = {
        {visit->record_header + RECORD_HEADER - visit->header_left, visit->header_left},
        {(void *)bytes, length < visit->record_left ? length : visit->record_left},
    };
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
    ssize_t sent = sendmsg(visit->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) return -1;
    size_t header = (size_t)sent < visit->header_left ? (size_t)sent : visit->header_left;
    visit->header_left -= header;
    visit->record_left -= (size_t)sent - header;
    return sent - (ssize_t)header;
}

size_t visit_write(struct visit *visit, const uint8_t *bytes, size_t length) {
    size_t written = 0;
    while (written < length) {
        if (visit->record_left == 0) {
            visit->record_left = length - written < RECORD_CONTENT_MAX ? length - written : RECORD_CONTENT_MAX;
            visit->header_left = RECORD_HEADER;
            record_put(visit->record_header, RECORD_STDOUT, fastcgi_id(visit->request), visit->record_left);
        }
        ssize_t sent = send_piece(visit, bytes + written, length - written);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) lose_soon(visit);
        if (sent < 0) break;
        written += (size_t)sent;
    }
    if (written < length) {
        visit->wants_room = true;
        visit_watch_all(visit);
    }
    return written;
}

/* What is left of a request without a body, mostly its empty end that came a moment after its head, or of a small one that
 * nobody read. Only what cannot block; and only before the end of the response is out: from then on the front may send the next
 * request on the connection, and libfcgi reads all there is, to throw it away. */
static void read_rest(struct visit *visit) {
    uint8_t rest[4096];
    bool end;
    if (!visit->body_over && !visit->read_some && fastcgi_end_is_next(visit->request)) visit->whole = true;
    while (visit->whole && !visit->body_over) visit_read_now(visit, rest, sizeof rest, &end);
}

/* The response is out. */
static void after_response(struct visit *visit) {
    enum record_skipped skipped = RECORD_SKIP_OVER;
    if (!fastcgi_keeps(visit->request)) {
        if (visit->body_over) visit_close(visit);
        else linger(visit, false);
        return;
    }
    if (!visit->body_over) skipped = fastcgi_skip(visit->request, &visit->skip);
    if (skipped == RECORD_SKIP_BAD) {
        visit_close(visit);
    } else if (skipped == RECORD_SKIP_OVER) {
        reuse(visit);
    } else {
        free_request(visit);
        visit_set_state(visit, VISIT_ENDING);
        front_serve(visit);
    }
}

/* Sends as much of the end as there is room for (libfcgi would block here: the send buffer may be full of what was written before).
 * False when the front is gone. */
static bool send_tail(struct visit *visit) {
    ssize_t sent =
        send(visit->fd, visit->tail + sizeof visit->tail - visit->tail_left, visit->tail_left, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) visit->tail_left -= (size_t)sent;
    return sent >= 0 || errno == EAGAIN || errno == EINTR;
}

void visit_send_end(struct visit *visit) {
    if (visit->busy && fastcgi_keeps(visit->request)) { /* the thread might read the next request: its callback comes here again */
        visit_set_state(visit, VISIT_FLUSHING);
        return;
    }
    if (!visit->busy) read_rest(visit);
    bool sent = visit->answered ? fastcgi_end(visit->request) : send_tail(visit);
    if (!sent) {
        visit_close(visit);
    } else if (visit->answered || visit->tail_left == 0) {
        after_response(visit);
    } else {
        visit_set_state(visit, VISIT_FLUSHING);
        visit_watch_all(visit);
    }
}

void visit_answer(struct visit *visit, const char *bytes, size_t length) {
    visit->events = NULL;
    visit->answered = true;
    fastcgi_put(visit->request, bytes, length);
    visit_send_end(visit);
}

void visit_finish(struct visit *visit) {
    visit->events = NULL;
    record_put_end(visit->tail, fastcgi_id(visit->request));
    visit->tail_left = sizeof visit->tail;
    visit_send_end(visit);
}

static void break_off(struct visit *visit) {
    static const uint8_t bad_record[RECORD_HEADER] = {255}; /* no such version: Caddy from 2.7.6 and Apache see an error */
    if (visit->record_left == 0) {
        ssize_t sent = send(visit->fd, bad_record, sizeof bad_record, MSG_DONTWAIT | MSG_NOSIGNAL);
        (void)sent; /* the hang-up says the rest */
    }
    /* Caddy writes the empty end of a GET's body after its head: met by a closed connection it would not look at the response, and
     * ask for it once more. An upload, which is read by somebody, is to stop now. */
    if (!visit->busy) read_rest(visit);
    if (visit->body_over || visit->read_some || fastcgi_skip(visit->request, &visit->skip) != RECORD_SKIP_MORE) visit_close(visit);
    else linger(visit, true);
}

void visit_try_break(struct visit *visit) {
    uint64_t now = uv_now(visit->front->options.loop);
    int unread = 0;
    if (ioctl(visit->fd, SIOCOUTQ, &unread) == 0 && unread > 0) visit->active_ms = now; /* unix(7) */
    if (now - visit->active_ms >= BREAK_LATE_MS || now - visit->broke_ms >= BREAK_LATEST_MS) break_off(visit);
}

/* Old Caddies do not tell that the visitor has left. Of too many held ones that is likeliest of the first. */
static void hold(struct visit *visit) {
    struct front *front = visit->front;
    struct visit *first;
    if (front->in_state[VISIT_HELD] >= HELD_MAX) {
        DL_FOREACH2(front->visits, first, next) {
            if (first->state == VISIT_HELD) break;
        }
        visit_close(first);
    }
    DL_DELETE2(front->visits, visit, previous, next);
    DL_APPEND2(front->visits, visit, previous, next); /* behind all that are held */
    visit_set_state(visit, VISIT_HELD);
    visit_watch_all(visit);
}

void visit_break(struct visit *visit, enum visit_break when) {
    struct front *front = visit->front;
    visit->events = NULL;
    if (when == VISIT_BREAK_NEVER) {
        hold(visit);
    } else if (when == VISIT_BREAK_LATE) {
        visit->active_ms = visit->broke_ms = uv_now(front->options.loop);
        visit_set_state(visit, VISIT_BREAKING);
        visit_watch_all(visit);
        front_start_sweep(front);
    } else {
        break_off(visit);
    }
}
