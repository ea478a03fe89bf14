#include "support.h"

#include "unix_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/pg-unix-XXXXXX";
static char path[64];
static char error[PG_UNIX_ERROR_MAX];

static int make_directory(void **state) {
    (void)state;
    if (!mkdtemp(directory)) return -1;
    snprintf(path, sizeof path, "%s/s", directory);
    return 0;
}

static int remove_directory(void **state) {
    (void)state;
    unlink(path);
    return rmdir(directory);
}

static void assert_refused(const char *where, const char *wanted) {
    assert_int_equal(pg_unix_listen(where, error), -1);
    if (!strstr(error, wanted)) fail_msg("\"%s\" is not in \"%s\"", wanted, error);
}

static void it_listens_with_a_private_mode(void **state) {
    (void)state;
    struct stat status;
    mode_t before = umask(0);
    int fd = pg_unix_listen(path, error);
    assert_true(fd >= 0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0660);
    assert_int_equal(umask(before), 0); /* put back */
    assert_true(pg_unix_is_listening(fd));
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    int visitor = pg_unix_connect(path);
    assert_true(visitor >= 0);
    assert_false(pg_unix_is_listening(visitor));
    close(visitor);
    close(fd);
    unlink(path);
}

static void a_stale_socket_is_replaced_and_a_living_one_is_not(void **state) {
    (void)state;
    int first = pg_unix_listen(path, error);
    assert_true(first >= 0);
    assert_refused(
        path, "is in use: stop the process that listens there or name another path (--socket, --listen: or give --share to both)");
    close(first); /* as if it was killed: the file stays */
    assert_int_equal(pg_unix_connect(path), -1);
    assert_int_equal(errno, ECONNREFUSED);
    int second = pg_unix_listen(path, error);
    assert_true(second >= 0);
    close(second);
    unlink(path);
}

static void what_is_no_socket_stays(void **state) {
    (void)state;
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(write(fd, "kept", 4), 4);
    close(fd);
    assert_refused(path, "exists and is no socket: remove it or name another path");
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_size, 4);
    unlink(path);
}

static void a_path_has_its_longest(void **state) {
    (void)state;
    char text[PG_UNIX_PATH_MAX + 2];
    assert_int_equal(PG_UNIX_PATH_MAX, 107);
    memset(text, '/', sizeof text); /* "////tmp" is as good as "/tmp" */
    memcpy(text + PG_UNIX_PATH_MAX - strlen(path), path, strlen(path) + 1);
    int fd = pg_unix_listen(text, error);
    assert_true(fd >= 0);
    close(fd);
    unlink(path);
    memset(text, '/', sizeof text);
    memcpy(text + PG_UNIX_PATH_MAX + 1 - strlen(path), path, strlen(path) + 1);
    assert_refused(text, "has 1 to 107 bytes");
    assert_refused("", "has 1 to 107 bytes");
    assert_int_equal(pg_unix_connect(text), -1);
    assert_int_equal(errno, ENAMETOOLONG);
}

static void a_directory_that_is_not_there_is_named(void **state) {
    (void)state;
    assert_refused("/nowhere/at/all", "cannot listen at /nowhere/at/all: No such file or directory");
    assert_int_equal(pg_unix_connect("/nowhere/at/all"), -1);
    assert_int_equal(errno, ENOENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_listens_with_a_private_mode),
        cmocka_unit_test(a_stale_socket_is_replaced_and_a_living_one_is_not),
        cmocka_unit_test(what_is_no_socket_stays),
        cmocka_unit_test(a_path_has_its_longest),
        cmocka_unit_test(a_directory_that_is_not_there_is_named),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
