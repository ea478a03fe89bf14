#include "listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ACCEPTS_A_TURN = 64, PAUSE_MS = 100 };

/* Says where the socket really listens: port 0 became one. */
static void name_it(struct listener *listener) {
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    char host[100] = "", port[16] = "";
    getsockname(listener->fd, (struct sockaddr *)&address, &size);
    listener->is_unix = address.ss_family == AF_UNIX;
    if (listener->is_unix) {
        snprintf(listener->name, sizeof listener->name, "unix:%s", ((struct sockaddr_un *)&address)->sun_path);
        return;
    }
    getnameinfo((struct sockaddr *)&address, size, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(listener->name, sizeof listener->name, address.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

static void on_readable(uv_poll_t *poll, int status, int events);

static void on_pause_over(uv_timer_t *timer) {
    struct listener *listener = timer->data;
    uv_poll_start(&listener->poll, UV_READABLE, on_readable);
}

static void on_readable(uv_poll_t *poll, int status, int events) {
    struct listener *listener = poll->data;
    int on = 1;
    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPTS_A_TURN && listener->fd >= 0; i++) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            if (!listener->is_unix) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            listener->on_accept(listener->owner, listener, fd);
            continue;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK) return;
        if (errno == ECONNABORTED || errno == EINTR) continue;
        /* Out of descriptors or memory: it would be readable for ever. */
        pg_log(listener->log, PG_LOG_ERROR, NULL, "cannot accept on %s: %s (raise LimitNOFILE or lower --max-clients)",
               listener->name, strerror(errno));
        uv_poll_stop(&listener->poll);
        uv_timer_start(&listener->pause, on_pause_over, PAUSE_MS, 0);
        return;
    }
}

static int open_socket(struct listener *listener, const struct listener_options *options, char error[LISTENER_ERROR_MAX]) {
    const char *path = options->address ? pg_address_path(options->address) : NULL;
    if (!options->address) {
        if (!pg_socket_is_listening(options->fd)) {
            snprintf(error, LISTENER_ERROR_MAX, "descriptor %d, passed by systemd, is no listening stream socket", options->fd);
            return -1;
        }
        fcntl(options->fd, F_SETFL, fcntl(options->fd, F_GETFL) | O_NONBLOCK);
        return options->fd;
    }
    if (options->share) return pg_share_open(&listener->share, options->loop, options->log, path, error);
    int fd = pg_address_listen(options->address, error);
    if (fd >= 0 && path) strcpy(listener->path, path);
    return fd;
}

bool listener_open(struct listener *listener, const struct listener_options *options, char error[LISTENER_ERROR_MAX]) {
    *listener = (struct listener){.share.door = -1, .log = options->log, .on_accept = options->on_accept, .owner = options->owner};
    listener->fd = open_socket(listener, options, error);
    if (listener->fd < 0) return false;
    name_it(listener);
    if (uv_poll_init(options->loop, &listener->poll, listener->fd) != 0) {
        snprintf(error, LISTENER_ERROR_MAX, "%s cannot be watched", listener->name);
        close(listener->fd);
        listener->fd = -1;
        return false;
    }
    uv_timer_init(options->loop, &listener->pause);
    listener->poll.data = listener->pause.data = listener;
    uv_poll_start(&listener->poll, UV_READABLE, on_readable);
    return true;
}

void listener_hold(struct listener *listener) {
    if (listener->fd >= 0) uv_poll_stop(&listener->poll);
}

void listener_resume(struct listener *listener) {
    if (listener->fd >= 0) uv_poll_start(&listener->poll, UV_READABLE, on_readable);
}

void listener_close(struct listener *listener) {
    if (listener->fd < 0) return;
    if (*listener->path) unlink(listener->path); /* before the close: after it, another's could be there */
    uv_close((uv_handle_t *)&listener->poll, NULL);
    uv_close((uv_handle_t *)&listener->pause, NULL);
    close(listener->fd);
    listener->fd = -1;
    pg_share_close(&listener->share);
}
