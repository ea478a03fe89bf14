#include "support.h"

#include "bus_url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const bad_login =
    "the part of the Redis URL before '@' must be user:password, :password or user, percent-encoded";
static const char *const bad_host = "the Redis URL has no valid host or port";
static const char *const bad_database = "the database in the Redis URL must be a number, as in redis://localhost:6379/0";
static const char *const bad_path =
    "the Unix socket in the Redis URL must be an absolute path of at most 107 bytes, as in unix:/run/redis.sock";
static const char *const bad_query = "behind the path of a Redis URL only ?db=NUMBER may stand";
static const char *const bad_scheme = "the Redis URL must begin with redis:// or unix:/";

static const char *parse(const char *text, struct pg_bus_url *url) {
    char *copy = exact_copy(text, strlen(text) + 1);
    const char *wrong = pg_bus_url_parse(copy, url);
    free(copy);
    return wrong;
}

static void assert_url(const char *text, const struct pg_bus_url *wanted) {
    struct pg_bus_url url;
    const char *wrong = parse(text, &url);
    if (wrong) fail_msg("%s: %s", text, wrong);
    assert_string_equal(url.path, wanted->path);
    assert_string_equal(url.host, wanted->host);
    assert_int_equal(url.port, wanted->port);
    assert_string_equal(url.user, wanted->user);
    assert_string_equal(url.password, wanted->password);
    assert_int_equal(url.database, wanted->database);
}

static void assert_refused(const char *text, const char *wanted) {
    struct pg_bus_url url;
    const char *wrong = parse(text, &url);
    if (!wrong) fail_msg("%s was taken: host \"%s\" port %d path \"%s\"", text, url.host, url.port, url.path);
    if (strcmp(wrong, wanted) != 0) fail_msg("%s: %s", text, wrong);
}

#define URL(...) (&(struct pg_bus_url){.port = 6379, __VA_ARGS__})
#define TCP(where, number, ...) (&(struct pg_bus_url){.host = where, .port = number, __VA_ARGS__})

static void a_tcp_url_has_host_port_and_database(void **state) {
    (void)state;
    assert_url("redis://localhost", TCP("localhost", 6379, .database = 0));
    assert_url("redis://localhost/", TCP("localhost", 6379, .database = 0));
    assert_url("redis://10.0.0.1:6380/15", TCP("10.0.0.1", 6380, .database = 15));
    assert_url("redis://h:1", TCP("h", 1, .database = 0));
    assert_url("redis://h:65535/65535", TCP("h", 65535, .database = 65535));
    assert_url("redis://[::1]", TCP("::1", 6379, .database = 0));
    assert_url("redis://[fe80::1]:6380/2", TCP("fe80::1", 6380, .database = 2));
}

static void a_login_is_percent_decoded(void **state) {
    (void)state;
    assert_url("redis://:pw@h", TCP("h", 6379, .password = "pw"));
    assert_url("redis://me:pw@h:7/1", TCP("h", 7, .user = "me", .password = "pw", .database = 1));
    assert_url("redis://m%65:p%40%3A%2f%25@[::1]:7", TCP("::1", 7, .user = "me", .password = "p@:/%"));
    assert_url("redis://u:p:w@h", TCP("h", 6379, .user = "u", .password = "p:w"));
    assert_url("redis://u:p@w@h", TCP("h", 6379, .user = "u", .password = "p@w"));
    assert_url("redis://:%ff%01@h", TCP("h", 6379, .password = "\xff\x01"));
    /* The password may stand in a file. */
    assert_url("redis://m%65@h", TCP("h", 6379, .user = "me"));
    assert_url("redis://me:@h", TCP("h", 6379, .user = "me"));
}

static void a_wrong_login_is_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"redis://@h",     "redis://:@h",    "redis://:%@h",   "redis://:%4@h",
                                      "redis://:%zz@h", "redis://:%4g@h", "redis://:%00@h", "redis://:%+4@h",
                                      "redis://:%-4@h", "redis://:% 4@h", "redis://:%0x@h", "redis://%:p@h"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) assert_refused(bad[i], bad_login);
}

static void an_escape_is_two_digits_and_no_blank(void **state) {
    (void)state;
    for (int c = 1; c < 256; c++) {
        char text[] = "redis://:p%?1@h";
        struct pg_bus_url url;
        if (c == '@' || c == '/') continue;
        text[11] = (char)c;
        bool is_hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        if ((parse(text, &url) == NULL) != is_hex) fail_msg("%%%c1 (0x%02x)", c, c);
    }
}

static void a_wrong_host_or_port_is_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"redis://",
                                      "redis:///0",
                                      "redis://:6379",
                                      "redis://h:",
                                      "redis://h:0",
                                      "redis://h:65536",
                                      "redis://h:x",
                                      "redis://h:-1",
                                      "redis://h:+1",
                                      "redis://h: 1",
                                      "redis://h:1x",
                                      "redis://h:1:2",
                                      "redis://[::1",
                                      "redis://[]",
                                      "redis://[]:1",
                                      "redis://[::1]x",
                                      "redis://[::1]:",
                                      "redis://:p@",
                                      "redis://h:99999999999999",
                                      "redis://h:00000001"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) assert_refused(bad[i], bad_host);
}

static void a_wrong_database_is_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"redis://h/x",     "redis://h/-1", "redis://h/0/",         "redis://h/0?x",
                                      "redis://h/65536", "redis://h//",  "redis://h/99999999999"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) assert_refused(bad[i], bad_database);
}

static void a_socket_s_path_is_absolute(void **state) {
    (void)state;
    assert_url("unix:/run/redis.sock", URL(.path = "/run/redis.sock"));
    assert_url("unix:///run/redis.sock", URL(.path = "/run/redis.sock"));
    assert_url("unix:/run/redis.sock?db=3", URL(.path = "/run/redis.sock", .database = 3));
    assert_refused("unix:run/redis.sock", bad_path);
    assert_refused("unix:", bad_path);
    assert_refused("unix://", bad_path);
    assert_refused("unix:?db=1", bad_path);
    assert_refused("unix:/r?db=", bad_query);
    assert_refused("unix:/r?db=x", bad_query);
    assert_refused("unix:/r?db=65536", bad_query);
    assert_refused("unix:/r?", bad_query);
    assert_refused("unix:/r?x=1", bad_query);
    assert_refused("unix:/r?db=1&db=2", bad_query);
}

static void texts_have_their_longest(void **state) {
    (void)state;
    char text[512];
    for (size_t length = 105; length <= 300; length++) {
        memset(text, 'p', sizeof text);
        memcpy(text, "unix:/", 6);
        text[5 + length] = '\0';
        if (length > 107) {
            assert_refused(text, bad_path);
            continue;
        }
        struct pg_bus_url url = {.port = 6379};
        strcpy(url.path, text + 5);
        assert_url(text, &url);
    }
    for (size_t length = 254; length <= 257; length++) {
        memset(text, 'h', sizeof text);
        memcpy(text, "redis://", 8);
        text[8 + length] = '\0';
        if (length > 255) assert_refused(text, bad_host);
        else assert_null(parse(text, &(struct pg_bus_url){0}));
        memset(text, 'p', sizeof text);
        memcpy(text, "redis://:", 9);
        memcpy(text + 9 + length, "@h", 3);
        if (length > 255) assert_refused(text, bad_login);
        else assert_null(parse(text, &(struct pg_bus_url){0}));
    }
}

static void other_schemes_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"",          "localhost", "localhost:6379", "rediss://h",      "redis:h", "redis:/h",
                                      "REDIS://h", "http://h",  " redis://h",     "/run/redis.sock", "tcp://h"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) assert_refused(bad[i], bad_scheme);
}

static void what_is_wrong_never_repeats_the_url(void **state) {
    (void)state;
    static const char *const secret[] = {"redis://TOP-SECRET@", "redis://:TOP-SECRET@", "redis://:TOP-SECRET@h/x", "TOP-SECRET"};
    struct pg_bus_url url;
    for (size_t i = 0; i < COUNT_OF(secret); i++) assert_null(strstr(parse(secret[i], &url), "TOP-SECRET"));
}

static const char *read_password(const char *bytes, size_t length, struct pg_bus_url *url) {
    char path[64];
    snprintf(path, sizeof path, "/tmp/pg-password-%ld", (long)getpid());
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
    const char *wrong = pg_bus_url_read_password(url, path);
    unlink(path);
    return wrong;
}

static void a_password_is_read_from_a_file(void **state) {
    (void)state;
    struct pg_bus_url url = {.password = "another"};
    char longest[258];
    assert_null(read_password("p%41 ss\n", 8, &url));
    assert_string_equal(url.password, "p%41 ss"); /* as it is: it is no URL */
    assert_null(read_password("x\r\n", 3, &url));
    assert_string_equal(url.password, "x");
    memset(longest, 'p', sizeof longest);
    assert_null(read_password(longest, 255, &url));
    assert_int_equal(strlen(url.password), 255);
    assert_string_equal(read_password(longest, 256, &url), "the password is longer than 255 bytes");
    assert_string_equal(read_password(longest, 258, &url), "the password is longer than 255 bytes");
    assert_string_equal(read_password("", 0, &url), "the file is empty");
    assert_string_equal(read_password("\n", 1, &url), "the file is empty");
    assert_string_equal(read_password("a\0b", 3, &url), "the file holds a NUL byte");
    assert_string_equal(pg_bus_url_read_password(&url, "/nowhere/at/all"), "No such file or directory");
    assert_string_equal(pg_bus_url_read_password(&url, "/"), "Is a directory");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tcp_url_has_host_port_and_database),
        cmocka_unit_test(a_login_is_percent_decoded),
        cmocka_unit_test(a_wrong_login_is_refused),
        cmocka_unit_test(an_escape_is_two_digits_and_no_blank),
        cmocka_unit_test(a_wrong_host_or_port_is_refused),
        cmocka_unit_test(a_wrong_database_is_refused),
        cmocka_unit_test(a_socket_s_path_is_absolute),
        cmocka_unit_test(texts_have_their_longest),
        cmocka_unit_test(other_schemes_are_refused),
        cmocka_unit_test(a_password_is_read_from_a_file),
        cmocka_unit_test(what_is_wrong_never_repeats_the_url),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
