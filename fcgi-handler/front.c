#include "front.h"

#include "visit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

enum {
    EVENTS_PER_TURN = 128,
    ACCEPTS_PER_TURN = 64,
    LINGER_MS = 60000, /* a front that does not finish sending a body that nobody wants is given up this long after its last byte */
    SWEEP_MS = 1000,
    STOPPING_SWEEP_MS = 100,
    FIRST_REQUEST_MS = 5000, /* after no more are accepted: for who has just connected to send its request ... */
    LAST_REQUEST_MS = 1000,  /* ... and for who keeps a connection to send one more, knowing of nothing yet */
    CLOSING_MS = 20
};

/* --- connections --- */

void front_pause_accepting(struct front *front, bool pause) {
    struct epoll_event event = {.events = pause ? 0 : EPOLLIN, .data.ptr = NULL};
    if (front->paused == pause || !front->accepting) return;
    front->paused = pause;
    epoll_ctl(front->epoll, EPOLL_CTL_MOD, front->options.listener, &event);
}

static void on_soon(uv_timer_t *timer) {
    struct front *front = timer->data;
    struct visit *visit;
    while ((visit = front->parked)) {
        front->parked = visit->next_parked;
        visit->parked = false;
        if (visit->state == VISIT_CLOSED) visit_bury(visit);
        else if (visit->lost) visit_lose(visit);
        else front_serve(visit);
    }
}

void front_serve_soon(struct visit *visit) {
    struct front *front = visit->front;
    if (visit->state == VISIT_CLOSED || visit->parked) return;
    visit->parked = true;
    visit->next_parked = front->parked;
    front->parked = visit;
    if (!front->closing) uv_timer_start(&front->soon, on_soon, 0, 0);
}

static void add_visit(struct front *front, int fd) {
    struct visit *visit = calloc(1, sizeof *visit);
    if (!visit) {
        close(fd);
        return;
    }
    visit->front = front;
    visit->fd = fd;
    visit->active_ms = uv_now(front->options.loop);
    DL_APPEND2(front->visits, visit, previous, next);
    front->count++;
    front->in_state[visit->state]++;
    front_serve(visit);
}

static void on_sweep(uv_timer_t *timer);

void front_start_sweep(struct front *front) {
    if (!uv_is_active((uv_handle_t *)&front->sweep)) uv_timer_start(&front->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
}

/* False when nobody waits, or none can be taken. */
static bool accept_some(struct front *front) {
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        if (front->count >= front->options.connections_max) {
            front_pause_accepting(front, true);
            return false;
        }
        int fd = accept4(front->options.listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            add_visit(front, fd);
            continue;
        }
        bool memory = errno == ENOMEM || errno == ENOBUFS;
        if (memory || errno == EMFILE || errno == ENFILE) {
            pg_log(front->options.log, PG_LOG_ERROR, NULL,
                   memory ? "no connection can be taken: out of memory" : "no more file descriptors: raise the limit (ulimit -n)");
            front_pause_accepting(front, true); /* until a connection closes, or the sweep */
            front_start_sweep(front);
        }
        return false;
    }
    return true;
}

/* --- what an event means in each state --- */

static void serve_waiting(struct visit *visit) {
    struct front *front = visit->front;
    ssize_t got = recv(visit->fd, front->peek, 8192, MSG_PEEK | MSG_DONTWAIT);
    enum request_presence presence = got > 0 ? record_presence(front->peek, (size_t)got) : REQUEST_PARTIAL;
    if (got == 8192 && presence == REQUEST_PARTIAL) {
        got = recv(visit->fd, front->peek, VISIT_PEEK_MAX, MSG_PEEK | MSG_DONTWAIT);
        presence = record_presence(front->peek, got > 0 ? (size_t)got : 0);
    }
    if (got == 0 || (got < 0 && errno != EAGAIN) || presence == REQUEST_MALFORMED) {
        if (presence == REQUEST_MALFORMED)
            pg_log(front->options.log, PG_LOG_WARN, NULL, "a front sent what is no FastCGI request: connection dropped");
        visit_close(visit);
    } else if (presence == REQUEST_PARTIAL && got < VISIT_PEEK_MAX) {
        visit_watch_all(visit);
    } else if (presence == REQUEST_PARTIAL) {
        visit_accept_on_thread(visit);
    } else {
        visit->request = fastcgi_accept(visit->fd);
        if (!visit->request) visit->fd = -1;
        if (!visit->request) {
            visit_close(visit);
            return;
        }
        visit_hand_over(visit, presence == REQUEST_WHOLE);
    }
}

void front_serve(struct visit *visit) {
    if (visit->busy) return; /* the thread's callback looks again */
    switch (visit->state) {
    case VISIT_WAITING: serve_waiting(visit); break;
    case VISIT_ENDING: visit_skip_rest(visit); break;
    case VISIT_FLUSHING: visit_send_end(visit); break;
    case VISIT_LINGERING: visit_linger_on(visit); break;
    case VISIT_ACTIVE:
        if (visit->wants_body) visit_read_body(visit);
        break;
    case VISIT_BREAKING:
    case VISIT_HELD:
    case VISIT_ACCEPTING:
    case VISIT_CLOSED:
    case VISIT_STATES: break;
    }
}

static void on_event(struct visit *visit, uint32_t events) {
    bool gone = events & (EPOLLHUP | EPOLLERR);
    /* A front that hung up wants no answer, whatever it sent before; no other event will come. */
    if (gone && visit->state != VISIT_ACCEPTING) {
        visit_lose(visit);
        return;
    }
    if ((events & EPOLLOUT) && visit->state == VISIT_FLUSHING) {
        visit_send_end(visit);
        return;
    }
    if ((events & EPOLLOUT) && visit->wants_room && visit->state == VISIT_ACTIVE) {
        visit->wants_room = false;
        visit->events->on_room(visit->owner);
    }
    if (events & (EPOLLIN | EPOLLRDHUP)) front_serve(visit); /* whatever state it is in by now, CLOSED included */
}

static void on_epoll(uv_poll_t *poll, int status, int ready) {
    struct front *front = poll->data;
    struct epoll_event events[EVENTS_PER_TURN];
    (void)status;
    (void)ready;
    front->dispatching = true;
    int count = epoll_wait(front->epoll, events, EVENTS_PER_TURN, 0);
    for (int i = 0; i < count; i++) {
        struct visit *visit = events[i].data.ptr;
        if (!visit) accept_some(front);
        else if (visit->state != VISIT_CLOSED) on_event(visit, events[i].events);
    }
    front->dispatching = false;
    while (front->dead) {
        struct visit *visit = front->dead;
        front->dead = visit->next_parked;
        visit_bury(visit);
    }
}

static void on_sweep(uv_timer_t *timer) {
    struct front *front = timer->data;
    struct visit *visit, *next;
    uint64_t now = uv_now(front->options.loop);
    DL_FOREACH_SAFE2(front->visits, visit, next, next) {
        if (visit->state == VISIT_LINGERING && now - visit->active_ms > LINGER_MS) visit_close(visit);
        else if (visit->state == VISIT_BREAKING) visit_try_break(visit);
        else if (!front->accepting && visit->state == VISIT_WAITING && !visit_has_input(visit) &&
                 now - front->stopped_ms >= (visit->served ? LAST_REQUEST_MS : FIRST_REQUEST_MS))
            visit_close(visit);
    }
    front_pause_accepting(front, false); /* a limit that still holds is met again */
    if (front->accepting && front->in_state[VISIT_LINGERING] + front->in_state[VISIT_BREAKING] == 0) uv_timer_stop(timer);
}

/* --- the front --- */

struct front *front_new(const struct front_options *options) {
    struct epoll_event listening = {.events = 0, .data.ptr = NULL};
    const char *wrong = fastcgi_initialise();
    struct front *front = wrong ? NULL : calloc(1, sizeof *front);
    if (!front) {
        pg_log(options->log, PG_LOG_ERROR, NULL, "%s", wrong ? wrong : "out of memory");
        return NULL;
    }
    front->options = *options;
    front->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (front->epoll < 0 || epoll_ctl(front->epoll, EPOLL_CTL_ADD, options->listener, &listening) != 0 ||
        uv_poll_init(options->loop, &front->poll, front->epoll) != 0) {
        pg_log(options->log, PG_LOG_ERROR, NULL, "the socket cannot be watched: %s", strerror(errno));
        if (front->epoll >= 0) close(front->epoll);
        free(front);
        return NULL;
    }
    uv_timer_init(options->loop, &front->sweep);
    uv_timer_init(options->loop, &front->soon);
    front->poll.data = front->sweep.data = front->soon.data = front;
    uv_poll_start(&front->poll, UV_READABLE, on_epoll);
    return front;
}

void front_start_accepting(struct front *front) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (front->accepting || front->stopped) return;
    front->accepting = true;
    epoll_ctl(front->epoll, EPOLL_CTL_MOD, front->options.listener, &event);
}

static void stop_listening(struct front *front) {
    if (front->stopped) return;
    front->accepting = false;
    front->stopped = true;
    epoll_ctl(front->epoll, EPOLL_CTL_DEL, front->options.listener, NULL);
}

void front_stop_accepting(struct front *front) {
    struct visit *visit, *next;
    if (front->stopped) return;
    front_pause_accepting(front, false);
    while (front->accepting && accept_some(front)) continue; /* who has connected is served */
    stop_listening(front);
    DL_FOREACH_SAFE2(front->visits, visit, next, next) {
        if (visit->state == VISIT_HELD) visit_close(visit);
    }
    front->stopped_ms = uv_now(front->options.loop);
    uv_timer_start(&front->sweep, on_sweep, STOPPING_SWEEP_MS, STOPPING_SWEEP_MS);
}

unsigned front_unfinished(const struct front *front) {
    return front->in_state[VISIT_WAITING] + front->in_state[VISIT_ACCEPTING] + front->in_state[VISIT_FLUSHING] +
           front->in_state[VISIT_ENDING] + front->in_state[VISIT_LINGERING] + front->in_state[VISIT_BREAKING];
}

unsigned front_connections(const struct front *front) {
    return front->count;
}

static void on_part_closed(uv_handle_t *handle) {
    struct front *front = handle->data;
    if (--front->handles_open > 0) return;
    close(front->epoll);
    if (front->on_closed) front->on_closed(front->options.owner);
    free(front);
}

/* Closes the last handle once no thread is left that could look at the front. */
static void on_closing(uv_timer_t *timer) {
    struct front *front = timer->data;
    on_soon(timer);
    if (front->threads == 0) uv_close((uv_handle_t *)timer, on_part_closed);
}

void front_close(struct front *front, void (*on_closed)(void *owner)) {
    struct visit *visit, *next;
    stop_listening(front); /* and takes nobody more: the owner has ended what it had */
    front->closing = true;
    front->on_closed = on_closed;
    DL_FOREACH_SAFE2(front->visits, visit, next, next) {
        visit->events = NULL;
        visit_close(visit);
    }
    on_soon(&front->soon);
    front->handles_open = 3;
    uv_close((uv_handle_t *)&front->poll, on_part_closed);
    uv_timer_start(&front->soon, on_closing, 0, CLOSING_MS);
    uv_close((uv_handle_t *)&front->sweep, on_part_closed);
}
