#include "listener.h"

#include "service.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static int open_path(struct listener *listener, uv_loop_t *loop, const struct pg_log *log, const char *path, bool share) {
    char error[PG_UNIX_ERROR_MAX];
    int fd = share ? pg_share_open(&listener->share, loop, log, path, error) : pg_unix_listen(path, error);
    if (fd < 0) pg_log(log, PG_LOG_ERROR, NULL, "--socket: %s", error);
    else if (!share) strcpy(listener->made, path);
    return fd;
}

static int use_passed(int fd, const struct pg_log *log) {
    if (!pg_unix_is_listening(fd)) {
        pg_log(log, PG_LOG_ERROR, NULL,
               "no --socket PATH was given, and descriptor %d is no listening Unix socket (FastCGI has no login of its own: "
               "TCP is not supported)",
               fd);
        return -1;
    }
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return fd;
}

bool listener_open(struct listener *listener, uv_loop_t *loop, const struct pg_log *log, const char *path, bool share) {
    int passed = pg_service_sockets();
    *listener = (struct listener){.share.door = -1};
    listener->fd =
        path ? open_path(listener, loop, log, path, share) : use_passed(passed > 0 ? PG_SERVICE_FIRST_SOCKET : STDIN_FILENO, log);
    return listener->fd >= 0;
}

void listener_close(struct listener *listener) {
    if (listener->fd < 0) return;
    if (*listener->made) unlink(listener->made); /* before the close: after it, another's could be there */
    close(listener->fd);
    listener->fd = -1;
    pg_share_close(&listener->share);
}
