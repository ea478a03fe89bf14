#include "service.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void pg_service_notify(const char *state) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = getenv("NOTIFY_SOCKET");
    if (!path || (path[0] != '/' && path[0] != '@')) return;
    size_t length = strlen(path);
    if (length < 2 || length >= sizeof address.sun_path) return;
    memcpy(address.sun_path, path, length);
    if (path[0] == '@') address.sun_path[0] = '\0'; /* an abstract name */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    ssize_t sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address, size);
    (void)sent; /* nobody to tell */
    close(fd);
}

uint64_t pg_service_watchdog_ms(void) {
    const char *interval = getenv("WATCHDOG_USEC");
    const char *pid = getenv("WATCHDOG_PID");
    if (!interval || (pid && strtol(pid, NULL, 10) != (long)getpid())) return 0;
    long long us = strtoll(interval, NULL, 10);
    return us >= 2000 ? (uint64_t)us / 1000 : 0;
}

int pg_service_sockets(void) {
    const char *pid = getenv("LISTEN_PID");
    const char *count = getenv("LISTEN_FDS");
    long sockets = 0;
    if (pid && count && strtol(pid, NULL, 10) == (long)getpid()) sockets = strtol(count, NULL, 10);
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    if (sockets < 0 || sockets > 16) return 0;
    for (int i = 0; i < (int)sockets; i++) fcntl(PG_SERVICE_FIRST_SOCKET + i, F_SETFD, FD_CLOEXEC);
    return (int)sockets;
}

void pg_service_hold_signals(sigset_t *before) {
    sigset_t told;
    sigemptyset(&told);
    sigaddset(&told, SIGTERM);
    sigaddset(&told, SIGINT);
    pthread_sigmask(SIG_BLOCK, &told, before);
}
