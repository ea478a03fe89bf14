#include "listener.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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

static void on_accept(void *owner, int fd) {
    struct listener *listener = owner;
    int on = 1;
    if (!listener->is_unix) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    listener->on_accept(listener->owner, listener, fd);
}

static void on_failure(void *owner, int why) {
    struct listener *listener = owner;
    pg_log(listener->log, PG_LOG_ERROR, NULL, "cannot accept on %s: %s (raise LimitNOFILE or lower --max-clients)", listener->name,
           strerror(why));
}

static const struct pg_acceptor_events acceptor_events = {.on_accept = on_accept, .on_failure = on_failure};

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
    if (!pg_acceptor_open(&listener->acceptor, options->loop, listener->fd, &acceptor_events, listener)) {
        snprintf(error, LISTENER_ERROR_MAX, "%s cannot be watched", listener->name);
        close(listener->fd);
        listener->fd = -1;
        return false;
    }
    return true;
}

void listener_hold(struct listener *listener) {
    if (listener->fd >= 0) pg_acceptor_hold(&listener->acceptor);
}

void listener_resume(struct listener *listener) {
    if (listener->fd >= 0) pg_acceptor_resume(&listener->acceptor);
}

void listener_close(struct listener *listener) {
    if (listener->fd < 0) return;
    if (*listener->path) unlink(listener->path); /* before the close: after it, another's could be there */
    pg_acceptor_close(&listener->acceptor);
    close(listener->fd);
    listener->fd = -1;
    pg_share_close(&listener->share);
}
