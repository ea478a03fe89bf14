#include "support.h"

#include "share.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[] = "/tmp/pg-share-XXXXXX";
static char path[64], door[80], lock_file[80];
static char error[PG_UNIX_ERROR_MAX];
static const struct pg_log quiet = {.program = "test", .level = PG_LOG_ERROR};

static int make_directory(void **state) {
    (void)state;
    if (!mkdtemp(directory)) return -1;
    snprintf(path, sizeof path, "%s/s", directory);
    snprintf(door, sizeof door, "%s.share", path);
    snprintf(lock_file, sizeof lock_file, "%s.lock", path);
    return 0;
}

static int remove_directory(void **state) {
    (void)state;
    unlink(lock_file);
    return rmdir(directory);
}

static bool is_there(const char *file) {
    struct stat status;
    return lstat(file, &status) == 0;
}

/* --- another process that serves the path: says when it does, accepts nothing, and ends well on SIGTERM --- */

struct server {
    uv_loop_t loop;
    struct pg_share share;
    uv_signal_t terminate;
    int listener;
};

static void on_terminate(uv_signal_t *handle, int number) {
    struct server *server = handle->data;
    (void)number;
    close(server->listener);
    pg_share_close(&server->share);
    uv_close((uv_handle_t *)handle, NULL);
}

static int serve(int tell) {
    struct server server;
    uv_loop_init(&server.loop);
    server.listener = pg_share_open(&server.share, &server.loop, &quiet, path, error);
    if (server.listener < 0) return 1;
    uv_signal_init(&server.loop, &server.terminate);
    server.terminate.data = &server;
    uv_signal_start(&server.terminate, on_terminate, SIGTERM);
    if (write(tell, "+", 1) != 1) return 2;
    uv_run(&server.loop, UV_RUN_DEFAULT);
    return uv_loop_close(&server.loop) == 0 ? 0 : 3;
}

static pid_t start_server(void) {
    int tell[2];
    char byte;
    assert_int_equal(pipe(tell), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(tell[0]);
        _exit(serve(tell[1]));
    }
    close(tell[1]);
    assert_int_equal(read(tell[0], &byte, 1), 1);
    close(tell[0]);
    return child;
}

static void end_server(pid_t child, int signal_number, int wanted) {
    int status;
    assert_int_equal(kill(child, signal_number), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status), wanted);
}

/* --- this process joins --- */

struct joined {
    uv_loop_t loop;
    struct pg_share share;
    int listener;
};

static void join_now(struct joined *joined) {
    uv_loop_init(&joined->loop);
    joined->listener = pg_share_open(&joined->share, &joined->loop, &quiet, path, error);
    if (joined->listener < 0) fail_msg("%s", error);
}

static void leave(struct joined *joined) {
    close(joined->listener);
    pg_share_close(&joined->share);
    pg_share_close(&joined->share); /* no effect */
    uv_run(&joined->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&joined->loop), 0);
}

static void assert_accepts(const struct joined *joined) {
    int visitor = pg_unix_connect(path);
    assert_true(visitor >= 0);
    int accepted = accept(joined->listener, NULL, NULL);
    assert_true(accepted >= 0);
    close(accepted);
    close(visitor);
}

static void the_first_makes_and_the_last_removes(void **state) {
    (void)state;
    struct joined first;
    join_now(&first);
    assert_accepts(&first);
    assert_true(is_there(path) && is_there(door));
    leave(&first);
    assert_false(is_there(path) || is_there(door));
}

static void who_comes_later_serves_the_same_socket(void **state) {
    (void)state;
    struct joined second;
    pid_t first = start_server();
    int waiting = pg_unix_connect(path); /* nobody accepts it yet */
    join_now(&second);
    int accepted = accept(second.listener, NULL, NULL);
    assert_true(accepted >= 0);
    close(accepted);
    close(waiting);
    end_server(first, SIGKILL, -SIGKILL);
    assert_accepts(&second);
    leave(&second);
    assert_false(is_there(path));
}

static void who_leaves_leaves_the_files_to_others(void **state) {
    (void)state;
    struct joined second;
    pid_t first = start_server();
    join_now(&second);
    end_server(first, SIGTERM, 0);
    assert_true(is_there(path) && is_there(door));
    assert_accepts(&second);
    leave(&second);
    assert_false(is_there(path));
}

static void when_all_were_killed_the_next_begins_anew(void **state) {
    (void)state;
    struct joined next;
    end_server(start_server(), SIGKILL, -SIGKILL);
    assert_true(is_there(path) && is_there(door));
    join_now(&next);
    assert_accepts(&next);
    leave(&next);
}

static void when_somebody_removed_the_file_the_next_begins_anew(void **state) {
    (void)state;
    struct joined next;
    pid_t orphan = start_server();
    assert_int_equal(unlink(path), 0);
    join_now(&next);
    assert_accepts(&next);
    end_server(orphan, SIGTERM, 0); /* and does not take the files of the others */
    assert_accepts(&next);
    leave(&next);
}

static void a_stopped_process_is_not_waited_for(void **state) {
    (void)state;
    uv_loop_t loop;
    struct pg_share share;
    pid_t stopped = start_server();
    assert_int_equal(kill(stopped, SIGSTOP), 0);
    uv_loop_init(&loop);
    assert_int_equal(pg_share_open(&share, &loop, &quiet, path, error), -1);
    assert_non_null(strstr(error, "do not answer: stop or kill them, or name another path"));
    assert_int_equal(kill(stopped, SIGCONT), 0);
    end_server(stopped, SIGTERM, 0);
    uv_loop_close(&loop);
    assert_false(is_there(path));
}

static void somebody_who_does_not_share_keeps_the_path(void **state) {
    (void)state;
    uv_loop_t loop;
    struct pg_share share;
    int alone = pg_unix_listen(path, error);
    assert_true(alone >= 0);
    uv_loop_init(&loop);
    assert_int_equal(pg_share_open(&share, &loop, &quiet, path, error), -1);
    assert_non_null(strstr(error, "is in use"));
    assert_false(is_there(door));
    uv_loop_close(&loop);
    close(alone);
    unlink(path);
}

/* Whoever stands at the door and passes nothing, or what is no listening socket, is not believed. */
static void answer_wrongly(int fd) {
    char byte = 0;
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control = {0};
    struct iovec piece = {&byte, 1};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(2 * sizeof(int))};
    memcpy(CMSG_DATA(header), (const int[2]){STDERR_FILENO, STDERR_FILENO}, 2 * sizeof(int));
    (void)!sendmsg(fd, &message, MSG_NOSIGNAL);
    close(fd);
}

static int stand_at_the_door(int listener) {
    int fd;
    for (int i = 0; i < 3; i++) {
        while ((fd = accept(listener, NULL, NULL)) < 0 && errno == EAGAIN) usleep(1000);
        if (i == 0) close(fd);
        else answer_wrongly(fd);
    }
    return 0;
}

static void a_wrong_answer_at_the_door_is_not_believed(void **state) {
    (void)state;
    struct joined next;
    int alone = pg_unix_listen(path, error), listener = pg_unix_listen(door, error), status;
    assert_true(alone >= 0 && listener >= 0);
    pid_t liar = fork();
    if (liar == 0) _exit(stand_at_the_door(listener));
    close(alone);
    close(listener);
    join_now(&next); /* when the liar has gone */
    assert_int_equal(waitpid(liar, &status, 0), liar);
    assert_int_equal(status, 0);
    assert_accepts(&next);
    leave(&next);
}

static void without_descriptors_the_door_waits(void **state) {
    (void)state;
    struct joined first;
    struct rlimit before, few;
    char byte;
    join_now(&first);
    int visitor = pg_unix_connect(door);
    assert_true(visitor >= 0 && getrlimit(RLIMIT_NOFILE, &before) == 0);
    few = before;
    few.rlim_cur = STDERR_FILENO + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    uv_run(&first.loop, UV_RUN_ONCE);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_false(uv_is_active((uv_handle_t *)&first.share.acceptor.poll)); /* it would turn in circles */
    while (recv(visitor, &byte, 1, MSG_DONTWAIT) < 0) uv_run(&first.loop, UV_RUN_ONCE);
    close(visitor);
    leave(&first);
}

static void a_path_without_room_for_the_suffix_is_refused(void **state) {
    (void)state;
    uv_loop_t loop;
    struct pg_share share;
    char text[PG_UNIX_PATH_MAX + 1];
    memset(text, '/', sizeof text);
    text[PG_UNIX_PATH_MAX - 5] = '\0';
    uv_loop_init(&loop);
    assert_int_equal(pg_share_open(&share, &loop, &quiet, text, error), -1);
    assert_non_null(strstr(error, "at most 101 bytes"));
    assert_int_equal(pg_share_open(&share, &loop, &quiet, "/nowhere/at/all", error), -1);
    assert_non_null(strstr(error, "cannot make /nowhere/at/all.lock: No such file or directory"));
    uv_loop_close(&loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_makes_and_the_last_removes),
        cmocka_unit_test(who_comes_later_serves_the_same_socket),
        cmocka_unit_test(who_leaves_leaves_the_files_to_others),
        cmocka_unit_test(when_all_were_killed_the_next_begins_anew),
        cmocka_unit_test(when_somebody_removed_the_file_the_next_begins_anew),
        cmocka_unit_test(a_stopped_process_is_not_waited_for),
        cmocka_unit_test(somebody_who_does_not_share_keeps_the_path),
        cmocka_unit_test(a_wrong_answer_at_the_door_is_not_believed),
        cmocka_unit_test(without_descriptors_the_door_waits),
        cmocka_unit_test(a_path_without_room_for_the_suffix_is_refused),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
