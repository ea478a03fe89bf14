#include "acceptor.h"

#include <errno.h>
#include <sys/socket.h>

static void watch(struct pg_acceptor *acceptor);

static void on_pause_over(uv_timer_t *timer) {
    watch(timer->data);
}

static void wait_a_little(struct pg_acceptor *acceptor, int why) {
    uv_poll_stop(&acceptor->poll);
    uv_timer_start(&acceptor->pause, on_pause_over, PG_ACCEPT_PAUSE_MS, 0);
    if (acceptor->events->on_failure) acceptor->events->on_failure(acceptor->owner, why);
}

static void on_readable(uv_poll_t *poll, int status, int events) {
    struct pg_acceptor *acceptor = poll->data;
    (void)status;
    (void)events;
    for (int i = 0; i < PG_ACCEPTS_A_TURN && acceptor->fd >= 0 && !acceptor->held; i++) {
        int fd = accept4(acceptor->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            acceptor->events->on_accept(acceptor->owner, fd);
            continue;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK) return;
        if (errno == ECONNABORTED || errno == EINTR) continue;
        wait_a_little(acceptor, errno);
        return;
    }
}

/* Not while it waits: the end of that calls again. */
static void watch(struct pg_acceptor *acceptor) {
    if (acceptor->held || uv_is_active((uv_handle_t *)&acceptor->pause)) return;
    uv_poll_start(&acceptor->poll, UV_READABLE, on_readable);
}

bool pg_acceptor_open(struct pg_acceptor *acceptor, uv_loop_t *loop, int fd, const struct pg_acceptor_events *events, void *owner) {
    *acceptor = (struct pg_acceptor){.fd = -1, .events = events, .owner = owner};
    if (uv_poll_init(loop, &acceptor->poll, fd) != 0) return false;
    uv_timer_init(loop, &acceptor->pause);
    acceptor->fd = fd;
    acceptor->poll.data = acceptor->pause.data = acceptor;
    watch(acceptor);
    return true;
}

void pg_acceptor_hold(struct pg_acceptor *acceptor) {
    if (acceptor->fd < 0) return;
    acceptor->held = true;
    uv_poll_stop(&acceptor->poll);
}

void pg_acceptor_resume(struct pg_acceptor *acceptor) {
    if (acceptor->fd < 0) return;
    acceptor->held = false;
    watch(acceptor);
}

void pg_acceptor_close(struct pg_acceptor *acceptor) {
    if (acceptor->fd < 0) return;
    acceptor->fd = -1;
    uv_close((uv_handle_t *)&acceptor->poll, NULL);
    uv_close((uv_handle_t *)&acceptor->pause, NULL);
}
