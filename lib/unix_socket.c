#include "unix_socket.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static bool name_address(struct sockaddr_un *address, const char *path) {
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) > PG_UNIX_PATH_MAX) return false;
    strcpy(address->sun_path, path);
    return true;
}

int pg_unix_connect(const char *path) {
    struct sockaddr_un address;
    if (!name_address(&address, path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) == 0) return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

/* Who listens and does not accept (EAGAIN) is there all the same. */
static bool somebody_listens(const char *path) {
    int fd = pg_unix_connect(path);
    if (fd < 0) return errno != ECONNREFUSED;
    close(fd);
    return true;
}

/* Makes way for a new socket at the path: a file that nobody listens on is what a killed process left. */
static bool make_way(const struct sockaddr_un *address, char error[PG_UNIX_ERROR_MAX]) {
    const char *path = address->sun_path;
    struct stat status;
    error[0] = '\0';
    if (lstat(path, &status) != 0) return true;
    if (!S_ISSOCK(status.st_mode))
        snprintf(error, PG_UNIX_ERROR_MAX, "%s exists and is no socket: remove it or name another path", path);
    else if (somebody_listens(path))
        snprintf(
            error, PG_UNIX_ERROR_MAX,
            "%s is in use: stop the process that listens there or name another path (--socket, --listen: or give --share to both)",
            path);
    else if (unlink(path) != 0)
        snprintf(error, PG_UNIX_ERROR_MAX, "the stale socket %s cannot be removed: %s", path, strerror(errno));
    return !*error;
}

int pg_unix_listen(const char *path, char error[PG_UNIX_ERROR_MAX]) {
    struct sockaddr_un address;
    if (!*path || !name_address(&address, path)) {
        snprintf(error, PG_UNIX_ERROR_MAX, "the path of a Unix socket has 1 to %d bytes", (int)PG_UNIX_PATH_MAX);
        return -1;
    }
    if (!make_way(&address, error)) return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t before = umask(0117);
    int bound = fd < 0 ? -1 : bind(fd, (const struct sockaddr *)&address, sizeof address);
    int why = errno;
    umask(before);
    if (bound == 0 && listen(fd, PG_UNIX_BACKLOG) == 0) return fd;
    if (bound == 0) why = errno;
    snprintf(error, PG_UNIX_ERROR_MAX, "cannot listen at %s: %s (does the directory exist, and may this user write there?)", path,
             strerror(why));
    if (bound == 0) unlink(path);
    if (fd >= 0) close(fd);
    return -1;
}

bool pg_socket_is_listening(int fd) {
    int listening = 0, type = 0;
    socklen_t size = sizeof listening, type_size = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_size) == 0 && type == SOCK_STREAM;
}

bool pg_unix_is_listening(int fd) {
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    return getsockname(fd, (struct sockaddr *)&address, &size) == 0 && address.ss_family == AF_UNIX && pg_socket_is_listening(fd);
}
