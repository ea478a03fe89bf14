#include "support.h"

#include "service.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char path[108];

/* A datagram socket as systemd would listen on it; '@' makes an abstract name. */
static int listen_at(const char *name) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(name);
    memcpy(address.sun_path, name, length);
    if (name[0] == '@') address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    return fd;
}

static void assert_hears(int fd, const char *wanted) {
    char buffer[256] = "";
    ssize_t length = recv(fd, buffer, sizeof buffer - 1, 0);
    if (!wanted) {
        assert_int_equal(length, -1);
        return;
    }
    assert_int_equal(length, strlen(wanted));
    assert_string_equal(buffer, wanted);
}

static void a_state_is_sent_to_a_path(void **state) {
    (void)state;
    snprintf(path, sizeof path, "/tmp/pg-notify-%ld", (long)getpid());
    int fd = listen_at(path);
    setenv("NOTIFY_SOCKET", path, 1);
    pg_service_notify("READY=1");
    pg_service_notify("STOPPING=1\nSTATUS=bye");
    unlink(path);
    assert_hears(fd, "READY=1");
    assert_hears(fd, "STOPPING=1\nSTATUS=bye");
    assert_hears(fd, NULL);
    close(fd);
    pg_service_notify("READY=1"); /* nobody there: no harm */
}

static void a_state_is_sent_to_an_abstract_name(void **state) {
    (void)state;
    snprintf(path, sizeof path, "@pg-notify-%ld", (long)getpid());
    int fd = listen_at(path);
    setenv("NOTIFY_SOCKET", path, 1);
    pg_service_notify("READY=1");
    assert_hears(fd, "READY=1");
    close(fd);
    snprintf(path, sizeof path, "@%c", (char)(1 + getpid() % 127)); /* the shortest */
    fd = listen_at(path);
    setenv("NOTIFY_SOCKET", path, 1);
    pg_service_notify("READY=1");
    assert_hears(fd, "READY=1");
    close(fd);
}

/* 108 bytes hold a path and its NUL, so 107 is the longest. */
static void the_longest_path_is_used_and_a_longer_one_is_not(void **state) {
    (void)state;
    char longest[109];
    memset(longest, 'n', sizeof longest);
    longest[snprintf(longest, sizeof longest, "@pg-notify-%ld-", (long)getpid())] = 'n';
    longest[107] = '\0';
    int fd = listen_at(longest);
    setenv("NOTIFY_SOCKET", longest, 1);
    pg_service_notify("READY=1");
    assert_hears(fd, "READY=1");
    longest[107] = 'n';
    longest[108] = '\0';
    int longer = listen_at(longest);
    setenv("NOTIFY_SOCKET", longest, 1);
    pg_service_notify("READY=1");
    assert_hears(fd, NULL);
    assert_hears(longer, NULL);
    close(longer);
    close(fd);
}

static void without_a_socket_nothing_happens(void **state) {
    (void)state;
    static const char *const names[] = {"", "/", "@", "relative", "vsock:2:9999", "-1"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        setenv("NOTIFY_SOCKET", names[i], 1);
        pg_service_notify("READY=1");
    }
    unsetenv("NOTIFY_SOCKET");
    pg_service_notify("READY=1");
}

struct sockets {
    const char *pid; /* NULL: unset; "self": this process's */
    const char *fds;
    int wanted;
};

/* In the child, so that descriptors 3 and 4 are free to be taken. */
static int count_sockets(void *argument) {
    const struct sockets *given = argument;
    char self[32];
    snprintf(self, sizeof self, "%ld", (long)getpid());
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    if (given->pid) setenv("LISTEN_PID", strcmp(given->pid, "self") == 0 ? self : given->pid, 1);
    if (given->fds) setenv("LISTEN_FDS", given->fds, 1);
    setenv("LISTEN_FDNAMES", "http:admin", 1);
    int null = open("/dev/null", O_RDONLY);
    for (int fd = PG_SERVICE_FIRST_SOCKET; fd < PG_SERVICE_FIRST_SOCKET + 3; fd++) dup2(null, fd);
    if (pg_service_sockets() != given->wanted) return 1;
    if (getenv("LISTEN_PID") || getenv("LISTEN_FDS") || getenv("LISTEN_FDNAMES")) return 2;
    for (int i = 0; i < 3; i++) {
        int flags = fcntl(PG_SERVICE_FIRST_SOCKET + i, F_GETFD);
        if (null != PG_SERVICE_FIRST_SOCKET + i && !!(flags & FD_CLOEXEC) != (i < given->wanted)) return 3;
    }
    return pg_service_sockets() == 0 ? 0 : 4; /* asked again: they are taken */
}

static void sockets_are_counted_for_this_process_only(void **state) {
    (void)state;
    static const struct sockets table[] = {{"self", "1", 1},        {"self", "2", 2},     {"self", "0", 0},
                                           {"1", "1", 0},           {NULL, "1", 0},       {"self", NULL, 0},
                                           {NULL, NULL, 0},         {"", "1", 0},         {"self", "", 0},
                                           {"self", "-1", 0},       {"self", "17", 0},    {"self", "99999999999999999999", 0},
                                           {"self", "nonsense", 0}, {"nonsense", "1", 0}, {"self", "4294967297", 0}};
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct sockets given = table[i];
        int status = run_in_child(count_sockets, &given)->status;
        if (status != 0) fail_msg("row %zu: step %d", i, status);
    }
}

static void sixteen_sockets_are_the_most(void **state) {
    (void)state;
    struct sockets given = {"self", "16", 16};
    assert_int_equal(run_in_child(count_sockets, &given)->status, 0);
}

static void the_watchdog_s_interval_is_for_this_process_only(void **state) {
    (void)state;
    static const struct {
        const char *us, *pid; /* NULL: unset; "self": this process's */
        uint64_t wanted_ms;
    } table[] = {{"30000000", NULL, 30000},
                 {"30000000", "self", 30000},
                 {"30000000", "1", 0},
                 {NULL, NULL, 0},
                 {NULL, "self", 0},
                 {"", NULL, 0},
                 {"0", NULL, 0},
                 {"1999", NULL, 0},
                 {"2000", NULL, 2},
                 {"-5000", NULL, 0},
                 {"nonsense", NULL, 0}};
    char self[32];
    snprintf(self, sizeof self, "%ld", (long)getpid());
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        unsetenv("WATCHDOG_USEC");
        unsetenv("WATCHDOG_PID");
        if (table[i].us) setenv("WATCHDOG_USEC", table[i].us, 1);
        if (table[i].pid) setenv("WATCHDOG_PID", strcmp(table[i].pid, "self") == 0 ? self : table[i].pid, 1);
        assert_int_equal(pg_service_watchdog_ms(), table[i].wanted_ms);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_state_is_sent_to_a_path),
        cmocka_unit_test(a_state_is_sent_to_an_abstract_name),
        cmocka_unit_test(the_longest_path_is_used_and_a_longer_one_is_not),
        cmocka_unit_test(without_a_socket_nothing_happens),
        cmocka_unit_test(sockets_are_counted_for_this_process_only),
        cmocka_unit_test(sixteen_sockets_are_the_most),
        cmocka_unit_test(the_watchdog_s_interval_is_for_this_process_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
