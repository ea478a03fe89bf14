#include "share.h"

#include "clock.h"
#include "service.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PASSED = 2 /* descriptors: the listener, the door */, LOOK_MS = 20, ANSWER_MS = 2000 };

static void name_beside(char to[PG_UNIX_PATH_MAX + 16], const char *path, const char *suffix) {
    snprintf(to, PG_UNIX_PATH_MAX + 16, "%s%s", path, suffix);
}

/* --- passing on --- */

union control {
    struct cmsghdr header; /* for its alignment */
    char bytes[CMSG_SPACE(PASSED * sizeof(int))];
};

static bool pass_on(int to, const int fds[PASSED]) {
    char byte = 0;
    union control control = {0};
    struct iovec piece = {&byte, 1};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(PASSED * sizeof(int));
    memcpy(CMSG_DATA(header), fds, PASSED * sizeof(int));
    return sendmsg(to, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
}

static void on_join(void *owner, int fd) {
    struct pg_share *share = owner;
    bool passed = pass_on(fd, (const int[PASSED]){share->listener, share->door});
    close(fd);
    if (passed) pg_log(share->log, PG_LOG_INFO, NULL, "%s is served by one more process", share->path);
}

static const struct pg_acceptor_events door_events = {.on_accept = on_join};

/* --- joining --- */

enum joined { JOINED, NOBODY, TOO_LATE, NO_ANSWER };

/* Takes what came; other numbers of descriptors than the two are closed. */
static bool take_passed(struct msghdr *message, int fds[PASSED]) {
    struct cmsghdr *header = CMSG_FIRSTHDR(message);
    if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) return false;
    size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count && i < PASSED; i++) memcpy(&fds[i], CMSG_DATA(header) + i * sizeof(int), sizeof(int));
    if (count == PASSED && pg_unix_is_listening(fds[0]) && pg_unix_is_listening(fds[1])) return true;
    for (size_t i = 0; i < count && i < PASSED; i++) close(fds[i]);
    return false;
}

static enum joined join(const char *door, int fds[PASSED]) {
    char byte;
    union control control;
    struct iovec piece = {&byte, 1};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    struct pollfd answer = {.events = POLLIN};
    int fd = pg_unix_connect(door);
    if (fd < 0) return errno == ENOENT || errno == ECONNREFUSED ? NOBODY : NO_ANSWER;
    answer.fd = fd;
    bool asleep = poll(&answer, 1, ANSWER_MS) == 0;
    ssize_t got = asleep ? -1 : recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    close(fd);
    if (got == 1 && take_passed(&message, fds)) return JOINED;
    return asleep ? NO_ANSWER : TOO_LATE; /* it died, or left, before it got to us */
}

static bool make_both(const char *path, const char *door, int fds[PASSED], char error[PG_UNIX_ERROR_MAX]) {
    fds[0] = pg_unix_listen(path, error);
    if (fds[0] < 0) return false;
    fds[1] = pg_unix_listen(door, error);
    if (fds[1] >= 0) return true;
    close(fds[0]);
    unlink(path);
    return false;
}

static int open_lock(const char *path) {
    char name[PG_UNIX_PATH_MAX + 16];
    name_beside(name, path, ".lock");
    mode_t before = umask(0117);
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0660);
    umask(before);
    return fd;
}

/* The signals are held back meanwhile. */
static bool is_told_to_end(void) {
    sigset_t pending;
    sigpending(&pending);
    return sigismember(&pending, SIGTERM) || sigismember(&pending, SIGINT);
}

/* False when it is time to give up. */
static bool wait_a_moment(uint64_t until_ms) {
    const struct timespec look = {.tv_nsec = LOOK_MS * 1000000L};
    nanosleep(&look, NULL);
    return pg_clock_ms() < until_ms && !is_told_to_end();
}

/* Held until the descriptor is closed. flock(2) alone would wait for ever. */
static bool lock(int fd, uint64_t until_ms) {
    while (flock(fd, LOCK_EX | LOCK_NB) != 0)
        if (errno != EWOULDBLOCK || !wait_a_moment(until_ms)) return false;
    return true;
}

/* With the lock held: nobody else joins or makes anything. */
static bool get(const char *path, int fds[PASSED], uint64_t until_ms, char error[PG_UNIX_ERROR_MAX]) {
    char door[PG_UNIX_PATH_MAX + 16];
    struct stat status;
    name_beside(door, path, ".share");
    enum joined joined = NOBODY;
    /* Where somebody removed the socket's file, those who serve it cannot be reached any more: begin anew. */
    if (lstat(path, &status) != 0) unlink(door);
    else
        while ((joined = join(door, fds)) == TOO_LATE && wait_a_moment(until_ms)) continue;
    if (joined == JOINED) return true;
    if (joined == NOBODY) return make_both(path, door, fds, error);
    snprintf(error, PG_UNIX_ERROR_MAX, "the processes that share %s do not answer: stop or kill them, or name another path", path);
    return false;
}

int pg_share_open(struct pg_share *share, uv_loop_t *loop, const struct pg_log *log, const char *path,
                  char error[PG_UNIX_ERROR_MAX]) {
    static const char suffix[] = ".share";
    uint64_t until_ms = pg_clock_ms() + PG_SHARE_PATIENCE_MS;
    int fds[PASSED];
    sigset_t before;
    *share = (struct pg_share){.door = -1, .log = log};
    if (strlen(path) + sizeof suffix - 1 > PG_UNIX_PATH_MAX) {
        snprintf(error, PG_UNIX_ERROR_MAX, "the path of a shared socket has at most %d bytes",
                 (int)(PG_UNIX_PATH_MAX - sizeof suffix + 1));
        return -1;
    }
    strcpy(share->path, path);
    pg_service_hold_signals(&before);
    int held = open_lock(path);
    bool locked = held >= 0 && lock(held, until_ms);
    bool good = locked && get(path, fds, until_ms, error);
    if (held < 0)
        snprintf(error, PG_UNIX_ERROR_MAX, "cannot make %s.lock: %s (does the directory exist, and may this user write there?)",
                 path, strerror(errno));
    else if (!good && is_told_to_end())
        snprintf(error, PG_UNIX_ERROR_MAX, "told to end while it waited for those that share %s", path);
    else if (!locked)
        snprintf(error, PG_UNIX_ERROR_MAX, "another process has held %s.lock for %d s: is it stopped?", path,
                 PG_SHARE_PATIENCE_MS / 1000);
    if (held >= 0) close(held);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!good) return -1;
    share->listener = fds[0];
    share->door = fds[1];
    pg_acceptor_open(&share->acceptor, loop, share->door, &door_events, share);
    return share->listener;
}

static void remove_files(const char *path) {
    char door[PG_UNIX_PATH_MAX + 16];
    int held = open_lock(path);
    name_beside(door, path, ".share");
    /* Who holds the lock is joining: then they are not ours to remove. */
    if (held >= 0 && flock(held, LOCK_EX | LOCK_NB) == 0) {
        int fd = pg_unix_connect(door);
        if (fd < 0 && errno == ECONNREFUSED) {
            unlink(door);
            unlink(path);
        }
        if (fd >= 0) close(fd); /* somebody else's; it is used to such visits */
    }
    if (held >= 0) close(held);
}

void pg_share_close(struct pg_share *share) {
    if (share->door < 0) return;
    pg_acceptor_close(&share->acceptor);
    close(share->door);
    share->door = -1;
    remove_files(share->path);
}
