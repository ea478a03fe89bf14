#include "support.h"

#include "log.h"

#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct pg_id tunnel = {{0x12, 0x3e, 0x45, 0x67, 0xe8, 0x9b, 0x12, 0xd3, 0xa4, 0x56, 0x42, 0x66, 0x14, 0x17, 0x40}};
static const struct pg_id exchange = {{0xff}};
#define TUNNEL "123e4567-e89b-12d3-a456-426614174000"
#define EXCHANGE "ff000000-0000-0000-0000-000000000000"

struct line {
    struct pg_log log;
    enum pg_log_level level;
    const struct pg_log_about *about;
    const char *message;
};

static int write_one(void *argument) {
    const struct line *line = argument;
    pg_log(&line->log, line->level, line->about, "%s", line->message);
    return 0;
}

static const struct output *logged(bool json, const struct pg_log_about *about, const char *message) {
    struct line line = {{"pg-test", PG_LOG_INFO, json}, PG_LOG_INFO, about, message};
    const struct output *output = run_in_child(write_one, &line);
    assert_int_equal(output->status, 0);
    assert_string_equal(output->out, "");
    return output;
}

/* One whole line and no other control byte: what a peer sent has forged none and moves no cursor. */
static void assert_one_line(const struct output *output) {
    assert_true(output->err_length > 0);
    assert_int_equal(strlen(output->err), output->err_length);
    for (size_t i = 0; i < output->err_length; i++) {
        unsigned char c = (unsigned char)output->err[i];
        if ((c < 0x20 || c == 0x7f) != (i == output->err_length - 1)) fail_msg("byte %zu is 0x%02x", i, c);
        if (c == 0xc2) assert_true((unsigned char)output->err[i + 1] >= 0xa0); /* U+0080-U+009F: C1 controls */
    }
    assert_int_equal(output->err[output->err_length - 1], '\n');
}

/* The line as JSON: one object of strings. The caller releases it. */
static json_t *parse(const struct output *output) {
    json_error_t error;
    assert_one_line(output);
    json_t *object = json_loads(output->err, JSON_REJECT_DUPLICATES, &error);
    if (!object) fail_msg("%s: %s", error.text, output->err);
    assert_true(json_is_object(object));
    return object;
}

static void assert_member(const json_t *object, const char *key, const char *wanted) {
    const char *value = json_string_value(json_object_get(object, key));
    if (!value) fail_msg("no %s", key);
    assert_string_equal(value, wanted);
}

/* The message of a JSON line. */
static void assert_message(const char *message, const char *wanted) {
    json_t *object = parse(logged(true, NULL, message));
    assert_member(object, "message", wanted);
    assert_int_equal(json_object_size(object), 4);
    json_decref(object);
}

static void assert_is_timestamp(const char *text) {
    static const char pattern[] = "dddd-dd-ddTdd:dd:dd.dddZ";
    for (size_t i = 0; i < sizeof pattern - 1; i++)
        assert_true(pattern[i] == 'd' ? text[i] >= '0' && text[i] <= '9' : text[i] == pattern[i]);
}

static void a_text_line_says_when_what_and_about_whom(void **state) {
    (void)state;
    struct pg_log_about about = {.tunnel = &tunnel, .exchange = &exchange, .peer = "10.0.0.1:5"};
    const struct output *output = logged(false, &about, "hello");
    assert_one_line(output);
    assert_is_timestamp(output->err);
    assert_string_equal(output->err + 24, " info pg-test: hello tunnel=" TUNNEL " exchange=" EXCHANGE " peer=10.0.0.1:5\n");
}

static void what_is_not_known_is_left_out(void **state) {
    (void)state;
    struct pg_log_about nothing = {0}, empty = {.peer = ""}, only_exchange = {.exchange = &exchange};
    assert_string_equal(logged(false, NULL, "x")->err + 24, " info pg-test: x\n");
    assert_string_equal(logged(false, &nothing, "x")->err + 24, " info pg-test: x\n");
    assert_string_equal(logged(false, &empty, "")->err + 24, " info pg-test: \n");
    assert_string_equal(logged(false, &only_exchange, "x")->err + 24, " info pg-test: x exchange=" EXCHANGE "\n");
    json_t *object = parse(logged(true, &empty, "x"));
    assert_int_equal(json_object_size(object), 4);
    json_decref(object);
}

static void a_json_line_has_the_same_members(void **state) {
    (void)state;
    struct pg_log_about about = {.tunnel = &tunnel, .exchange = &exchange, .peer = "10.0.0.1:5"};
    json_t *object = parse(logged(true, &about, "hello"));
    assert_is_timestamp(json_string_value(json_object_get(object, "time")));
    assert_member(object, "level", "info");
    assert_member(object, "program", "pg-test");
    assert_member(object, "tunnel", TUNNEL);
    assert_member(object, "exchange", EXCHANGE);
    assert_member(object, "peer", "10.0.0.1:5");
    assert_member(object, "message", "hello");
    assert_int_equal(json_object_size(object), 7);
    json_decref(object);
}

static const struct pg_log_field fields[] = {{.key = "status", .number = 200},
                                             {.key = "method", .text = "GET"},
                                             {.key = "bytes", .number = UINT64_MAX / 2},
                                             {.key = "seconds", .number = 61000042, .is_us = true}};

static void fields_stand_behind_the_message(void **state) {
    (void)state;
    struct pg_log_about about = {.exchange = &exchange, .fields = fields, .fields_count = COUNT_OF(fields)};
    assert_string_equal(logged(false, &about, "request")->err + 24,
                        " info pg-test: request status=200 method=GET bytes=9223372036854775807 seconds=61.000042"
                        " exchange=" EXCHANGE "\n");
    json_t *object = parse(logged(true, &about, "request"));
    assert_member(object, "method", "GET");
    assert_int_equal(json_integer_value(json_object_get(object, "status")), 200);
    assert_true(json_integer_value(json_object_get(object, "bytes")) == INT64_MAX);
    double seconds = json_real_value(json_object_get(object, "seconds"));
    assert_true(seconds > 61.0000415 && seconds < 61.0000425);
    assert_int_equal(json_object_size(object), 9);
    json_decref(object);
}

static void too_many_or_too_long_fields_are_cut(void **state) {
    (void)state;
    char word[200] = "";
    struct pg_log_field many[PG_LOG_FIELDS_MAX + 1];
    memset(word, 'x', sizeof word - 1);
    for (size_t i = 0; i < COUNT_OF(many); i++) many[i] = (struct pg_log_field){.key = "k", .text = word};
    struct pg_log_about about = {.fields = many, .fields_count = COUNT_OF(many)};
    const struct output *output = logged(false, &about, "m");
    assert_one_line(output);
    assert_int_equal(output->err_length, 24 + strlen(" info pg-test: m") + PG_LOG_FIELDS_MAX * (PG_LOG_FIELD_MAX - 1) + 1);
}

static void the_level_decides(void **state) {
    (void)state;
    static const char *const names[] = {"error", "warn", "info", "debug"};
    for (int limit = PG_LOG_ERROR; limit <= PG_LOG_DEBUG; limit++) {
        for (int level = PG_LOG_ERROR; level <= PG_LOG_DEBUG; level++) {
            struct line line = {{"p", (enum pg_log_level)limit, false}, (enum pg_log_level)level, NULL, "x"};
            const struct output *output = run_in_child(write_one, &line);
            assert_int_equal(output->err_length > 0, level <= limit);
            if (level <= limit) assert_non_null(strstr(output->err, names[level]));
        }
    }
}

static void control_bytes_come_out_as_question_marks(void **state) {
    (void)state;
    char message[34] = "", wanted[34] = "";
    for (int c = 1; c < 0x20; c++) message[c - 1] = (char)c;
    message[31] = 0x7f;
    memset(wanted, '?', 32);
    assert_message(message, wanted);
    const struct output *output = logged(false, NULL, message);
    assert_one_line(output);
    assert_non_null(strstr(output->err, wanted));
}

static void no_line_is_forged_through_message_or_peer(void **state) {
    (void)state;
    static const char hostile[] = "x\n2026-01-01T00:00:00.000Z error pg-test: all is lost\r\n{\"level\":\"error\"}\n";
    struct pg_log_about about = {.peer = hostile};
    assert_one_line(logged(false, &about, hostile));
    json_t *object = parse(logged(true, &about, hostile));
    assert_member(object, "level", "info");
    assert_null(strchr(json_string_value(json_object_get(object, "peer")), '\n'));
    json_decref(object);
    assert_message("\",\"level\":\"error\",\"x\":\"", "\",\"level\":\"error\",\"x\":\"");
    assert_message("\\\"\\u0000\\", "\\\"\\u0000\\");
}

static void terminals_are_not_steered_through_c1_controls(void **state) {
    (void)state;
    assert_message("a\xc2\x9b"
                   "2Jb\xc2\x80\xc2\x9f\xc2\xa0",
                   "a??2Jb????\xc2\xa0");
    assert_one_line(logged(false, NULL,
                           "a\xc2\x9b"
                           "2J"));
}

static void utf8_passes_and_other_bytes_cost_only_themselves(void **state) {
    (void)state;
    assert_message("caf\xc3\xa9 \xe6\xbc\xa2 \xf0\x9f\x98\x80", "caf\xc3\xa9 \xe6\xbc\xa2 \xf0\x9f\x98\x80");
    assert_message("\xee\x80\x80\xef\xbf\xbf\xf4\x8f\xbf\xbf", "\xee\x80\x80\xef\xbf\xbf\xf4\x8f\xbf\xbf");
    static const struct {
        const char *bytes, *wanted;
    } table[] = {{"GET /\xff\xfe kept", "GET /?? kept"},
                 {"\x80", "?"},
                 {"\xc3", "?"},
                 {"\xc3)", "?)"},
                 {"\xe6\xbc", "??"},
                 {"\xe6\xbc)", "?"
                               "?)"},
                 {"\xf0\x9f\x98", "???"},
                 {"\xc0\xaf", "??"},
                 {"\xe0\x80\xaf", "???"},
                 {"\xf0\x80\x80\xaf", "????"}, /* overlong */
                 {"\xed\xa0\x80", "???"},
                 {"\xf4\x90\x80\x80", "????"},
                 {"\xf5\x80\x80\x80", "????"}, /* surrogate, beyond Unicode */
                 {"\xc1\xbf", "??"},
                 {"\xed\x9f\xbf", "\xed\x9f\xbf"},
                 {"\xc3\xc3\xa9", "?\xc3\xa9"},
                 {"\xed\xbf\xbf", "???"},
                 {"\xdf\xbf\xe0\xa0\x80\xe0\xa4\xb9", "\xdf\xbf\xe0\xa0\x80\xe0\xa4\xb9"},
                 {"\xf0\x90\x80\x80", "\xf0\x90\x80\x80"},
                 {"\xf8\x90\x80\x80", "????"},
                 {"\xff\x90\x80\x80", "????"}};
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        assert_message(table[i].bytes, table[i].wanted);
        assert_non_null(strstr(logged(false, NULL, table[i].bytes)->err, table[i].wanted));
    }
    struct pg_log_about about = {.peer = "\xff:1"};
    json_t *object = parse(logged(true, &about, "x"));
    assert_member(object, "peer", "?:1");
    json_decref(object);
}

static void random_bytes_give_one_line_each(void **state) {
    (void)state;
    uint64_t seed = 7;
    for (int i = 0; i < 300; i++) {
        char message[100], peer[40];
        for (size_t j = 0; j < sizeof message; j++) message[j] = (char)(1 + random_below(&seed, 255));
        for (size_t j = 0; j < sizeof peer; j++) peer[j] = (char)(0x80 + random_below(&seed, 128));
        message[sizeof message - 1] = peer[sizeof peer - 1] = '\0';
        struct pg_log_about about = {.peer = peer};
        json_decref(parse(logged(true, &about, message)));
        assert_one_line(logged(false, &about, message));
    }
}

/* The worst for JSON: every byte of the longest message doubles. */
static void a_longer_message_is_cut_and_never_dropped(void **state) {
    (void)state;
    static char message[3 * PG_LOG_LINE_MAX], peer[3 * PG_LOG_LINE_MAX];
    static const char fillers[] = {'a', '"', '\\', '\n', '\xff'};
    memset(peer, '"', sizeof peer - 1);
    for (size_t i = 0; i < sizeof fillers; i++) {
        for (size_t length = PG_LOG_LINE_MAX - 2; length <= PG_LOG_LINE_MAX + 1; length++) {
            memset(message, fillers[i], length);
            message[length] = '\0';
            struct pg_log_about about = {.tunnel = &tunnel, .exchange = &exchange, .peer = peer};
            assert_one_line(logged(false, &about, message));
            json_t *object = parse(logged(true, &about, message));
            size_t cut = length < PG_LOG_LINE_MAX ? length : PG_LOG_LINE_MAX - 1;
            assert_int_equal(strlen(json_string_value(json_object_get(object, "message"))), cut);
            assert_int_equal(strlen(json_string_value(json_object_get(object, "peer"))), 255);
            json_decref(object);
        }
    }
}

static void a_cut_inside_a_character_costs_only_that(void **state) {
    (void)state;
    static char message[2 * PG_LOG_LINE_MAX];
    for (size_t shift = 0; shift < 3; shift++) {
        memset(message, 'a', shift);
        for (size_t i = shift; i + 3 < sizeof message; i += 3) memcpy(message + i, "\xe6\xbc\xa2", 4);
        json_t *object = parse(logged(true, NULL, message));
        const char *text = json_string_value(json_object_get(object, "message"));
        assert_int_equal(strlen(text), PG_LOG_LINE_MAX - 1);
        assert_memory_equal(text, message, PG_LOG_LINE_MAX - 3);
        json_decref(object);
    }
}

static void a_format_in_the_bytes_is_not_one(void **state) {
    (void)state;
    struct pg_log_about about = {.peer = "%n%s%s"};
    assert_non_null(strstr(logged(false, &about, "%s%n")->err, ": %s%n peer=%n%s%s\n"));
    json_t *object = parse(logged(true, &about, "%s%n"));
    assert_member(object, "message", "%s%n");
    assert_member(object, "peer", "%n%s%s");
    json_decref(object);
}

static int write_without_stderr(void *argument) {
    close(STDERR_FILENO);
    return write_one(argument);
}

static void a_log_that_cannot_be_written_stops_nobody(void **state) {
    (void)state;
    for (int json = 0; json < 2; json++) {
        struct line line = {{"pg-test", PG_LOG_INFO, json}, PG_LOG_INFO, NULL, "x"};
        assert_int_equal(run_in_child(write_without_stderr, &line)->status, 0);
    }
}

enum { ENOUGH = 20, RAN_OUT, LEAKED };

/* jansson allocates: each allocation of a line fails in turn. What comes out is a whole line or nothing. */
static int write_without_memory(void *argument) {
    json_set_alloc_funcs(malloc, free);
    memory_runs_out_after(*(unsigned *)argument);
    struct pg_log_about about = {.tunnel = &tunnel, .exchange = &exchange, .peer = "peer"};
    struct line line = {{"pg-test", PG_LOG_INFO, true}, PG_LOG_INFO, &about, "message"};
    write_one(&line);
    if (blocks_alive() != 0) return LEAKED;
    return memory_ran_out() ? RAN_OUT : ENOUGH;
}

static void without_memory_a_line_is_whole_or_missing(void **state) {
    (void)state;
    int status = RAN_OUT;
    for (unsigned good = 0; status == RAN_OUT; good++) {
        const struct output *output = run_in_child(write_without_memory, &good);
        status = output->status;
        assert_in_range(status, ENOUGH, RAN_OUT);
        if (output->err_length) json_decref(parse(output));
        assert_true(good < 1000);
    }
}

static void *write_many(void *argument) {
    for (int i = 0; i < 300; i++) write_one(argument);
    return NULL;
}

static int write_from_threads(void *argument) {
    pthread_t threads[4];
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        if (pthread_create(&threads[i], NULL, write_many, argument) != 0) return 1;
    for (size_t i = 0; i < COUNT_OF(threads); i++) pthread_join(threads[i], NULL);
    return 0;
}

static void lines_of_threads_do_not_mix(void **state) {
    (void)state;
    struct line line = {{"pg-test", PG_LOG_INFO, false}, PG_LOG_INFO, NULL, "a message"};
    const struct output *output = run_in_child(write_from_threads, &line);
    size_t lines = 0;
    assert_int_equal(output->status, 0);
    for (const char *at = output->err; *at; lines++) {
        const char *end = strchr(at, '\n');
        assert_non_null(end);
        assert_int_equal(end - at, 24 + strlen(" info pg-test: a message"));
        assert_memory_equal(at + 24, " info pg-test: a message\n", 25);
        at = end + 1;
    }
    assert_int_equal(lines, 1200);
}

static void levels_are_read_by_their_names_only(void **state) {
    (void)state;
    static const char *const names[] = {"error", "warn", "info", "debug"};
    static const char *const bad[] = {"", "ERROR", "warning", "inf", "debug ", "0", "trace"};
    enum pg_log_level level = PG_LOG_WARN;
    for (size_t i = 0; i < COUNT_OF(bad); i++) assert_false(pg_log_parse_level(bad[i], &level));
    assert_int_equal(level, PG_LOG_WARN);
    for (int i = 0; i < 4; i++) {
        assert_true(pg_log_parse_level(names[i], &level));
        assert_int_equal(level, i);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_line_says_when_what_and_about_whom),
        cmocka_unit_test(what_is_not_known_is_left_out),
        cmocka_unit_test(a_json_line_has_the_same_members),
        cmocka_unit_test(fields_stand_behind_the_message),
        cmocka_unit_test(too_many_or_too_long_fields_are_cut),
        cmocka_unit_test(the_level_decides),
        cmocka_unit_test(control_bytes_come_out_as_question_marks),
        cmocka_unit_test(no_line_is_forged_through_message_or_peer),
        cmocka_unit_test(terminals_are_not_steered_through_c1_controls),
        cmocka_unit_test(utf8_passes_and_other_bytes_cost_only_themselves),
        cmocka_unit_test(random_bytes_give_one_line_each),
        cmocka_unit_test(a_longer_message_is_cut_and_never_dropped),
        cmocka_unit_test(a_cut_inside_a_character_costs_only_that),
        cmocka_unit_test(a_format_in_the_bytes_is_not_one),
        cmocka_unit_test(a_log_that_cannot_be_written_stops_nobody),
        cmocka_unit_test(without_memory_a_line_is_whole_or_missing),
        cmocka_unit_test(lines_of_threads_do_not_mix),
        cmocka_unit_test(levels_are_read_by_their_names_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
