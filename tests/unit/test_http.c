#include "support.h"

#include "http.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FIELD(n, v)                                                                                                                \
    { .name = (n), .value = (v), .name_length = sizeof(n) - 1, .value_length = sizeof(v) - 1 }

typedef bool checker(const char *text, size_t length);

/* In memory of exactly its length: no rule may look for a NUL. */
static bool check(checker *rule, const char *text, size_t length) {
    char *copy = exact_copy(text, length);
    bool good = rule(copy, length);
    free(copy);
    return good;
}

static bool is_token_byte(int c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* Every byte alone, first, in the middle and last. */
static void assert_each_byte(checker *rule, bool (*allowed)(int c)) {
    for (int c = 0; c < 256; c++) {
        char texts[4][4] = {{(char)c}, {(char)c, 'a'}, {'a', (char)c, 'b'}, {'a', 'b', (char)c}};
        static const size_t lengths[] = {1, 2, 3, 3};
        for (int i = 0; i < 4; i++)
            if (check(rule, texts[i], lengths[i]) != allowed(c)) fail_msg("byte 0x%02x in place %d", c, i);
    }
}

static bool is_value_byte(int c) {
    return c != '\r' && c != '\n' && c != 0;
}

static bool is_target_byte(int c) {
    return c > 0x20 && c != 0x7f;
}

static void a_token_is_of_its_77_characters(void **state) {
    (void)state;
    assert_each_byte(pg_http_is_token, is_token_byte);
    assert_false(check(pg_http_is_token, "", 0));
    assert_true(check(pg_http_is_token, "PROPFIND", 8));
    assert_true(check(pg_http_is_token, "M-SEARCH", 8));
    assert_false(check(pg_http_is_token, "GET\0", 4));
    assert_false(check(pg_http_is_token, "Content-Length ", 15));
    assert_false(check(pg_http_is_token, "X:", 2));
}

static void a_value_has_no_cr_lf_or_nul(void **state) {
    (void)state;
    assert_each_byte(pg_http_is_value, is_value_byte);
    assert_true(check(pg_http_is_value, "", 0));
    assert_true(check(pg_http_is_value, "caf\xc3\xa9 \t\x01\x7f\xff", 9));
    assert_false(check(pg_http_is_value, "a\r\nX: y", 7));
}

static void a_target_has_no_control_byte_or_space(void **state) {
    (void)state;
    assert_each_byte(pg_http_is_target, is_target_byte);
    assert_false(check(pg_http_is_target, "", 0));
    assert_true(check(pg_http_is_target, "//a/..%2F%00?x=\"<>\\^`{|}#", 25));
    assert_true(check(pg_http_is_target, "http://other/", 13));
    assert_true(check(pg_http_is_target, "*", 1));
    assert_false(check(pg_http_is_target, "/ HTTP/1.1", 10));
}

static void a_name_is_compared_whole_and_in_either_case(void **state) {
    (void)state;
    static const struct pg_field same[] = {FIELD("host", ""), FIELD("Host", ""), FIELD("HOST", "")};
    static const struct pg_field other[] = {FIELD("hos", ""),     FIELD("hostx", ""),  FIELD("", ""),
                                            FIELD("h\xf3st", ""), FIELD("host\0", ""), FIELD("xost", "")};
    for (size_t i = 0; i < COUNT_OF(same); i++) assert_true(pg_http_name_is(&same[i], "host"));
    for (size_t i = 0; i < COUNT_OF(other); i++) assert_false(pg_http_name_is(&other[i], "host"));
    static const struct pg_field alphabet = FIELD("AbCdEfGhIjKlMnOpQrStUvWxYZ", ""), around = FIELD("@[`{", "");
    assert_true(pg_http_name_is(&alphabet, "abcdefghijklmnopqrstuvwxyz"));
    assert_false(pg_http_name_is(&around, "`{`{")); /* the neighbours of the letters have no case */
    struct pg_field dashed = FIELD("keep\x0d"
                                   "alive",
                                   ""); /* '-' and CR differ in the bit of the case */
    assert_false(pg_http_name_is(&dashed, "keep-alive"));
}

static void the_hop_by_hop_fields_are_these(void **state) {
    (void)state;
    static const struct pg_field hop[] = {FIELD("Connection", ""),
                                          FIELD("Keep-Alive", ""),
                                          FIELD("PROXY-CONNECTION", ""),
                                          FIELD("proxy-authenticate", ""),
                                          FIELD("Proxy-Authorization", ""),
                                          FIELD("TE", ""),
                                          FIELD("Trailer", ""),
                                          FIELD("Transfer-Encoding", ""),
                                          FIELD("Upgrade", ""),
                                          FIELD("expect", "")};
    static const struct pg_field end_to_end[] = {FIELD("Host", ""),
                                                 FIELD("Content-Length", ""),
                                                 FIELD("Content-Encoding", ""),
                                                 FIELD("TEX", ""),
                                                 FIELD("T", ""),
                                                 FIELD("Trailers", ""),
                                                 FIELD("Upgrade-Insecure-Requests", ""),
                                                 FIELD("Authorization", ""),
                                                 FIELD("Set-Cookie", ""),
                                                 FIELD("Transfer_Encoding", ""),
                                                 FIELD("Connection ", ""),
                                                 FIELD("", "")};
    for (size_t i = 0; i < COUNT_OF(hop); i++) assert_true(pg_http_is_hop_by_hop(&hop[i]));
    for (size_t i = 0; i < COUNT_OF(end_to_end); i++) assert_false(pg_http_is_hop_by_hop(&end_to_end[i]));
}

static bool list_names(const char *list, size_t length, const char *name) {
    struct pg_field field = {.name = name, .name_length = (uint16_t)strlen(name)};
    char *copy = exact_copy(list, length);
    bool named = pg_http_list_names(copy, length, &field);
    free(copy);
    return named;
}

static void a_list_names_its_members_and_no_part_of_them(void **state) {
    (void)state;
    static const char *const naming[] = {"x-a",  "X-A",  "x-a,b",   "b,x-a",       "b, x-a",      "b ,x-a ,c", "\tx-a\t", " x-a",
                                         ",x-a", "x-a,", ",,x-a,,", " , ,\t, x-a", "close,\tX-a", "x-a,x-a",   "a,x,x-a"};
    static const char *const not_naming[] = {"",        " ",       ",",       ",,",      " , ",   "x-",
                                             "x-ab",    "xx-a",    "x -a",    "x-a b",   "b x-a", "x-a;q=1",
                                             "\"x-a\"", "x-a\x0b", "\r\nx-a", "x-a\xa0", "x;x-a", "x"};
    for (size_t i = 0; i < COUNT_OF(naming); i++)
        if (!list_names(naming[i], strlen(naming[i]), "x-a")) fail_msg("\"%s\" does not name it", naming[i]);
    for (size_t i = 0; i < COUNT_OF(not_naming); i++)
        if (list_names(not_naming[i], strlen(not_naming[i]), "x-a")) fail_msg("\"%s\" names it", not_naming[i]);
    assert_false(list_names("x-a\0", 4, "x-a"));
    struct pg_field with_nul = FIELD("x\0a", "");
    assert_true(pg_http_list_names("b, X\0A", 6, &with_nul));
    assert_false(pg_http_list_names("x\0b", 3, &with_nul)); /* the letters behind a NUL count, too */
    assert_false(list_names("x-ab", 3, "x-ab"));
    assert_true(list_names("x-ab", 3, "x-a"));
}

static void an_empty_member_names_no_field(void **state) {
    (void)state;
    assert_false(list_names("", 0, ""));
    assert_false(list_names(",,", 2, ""));
    assert_false(list_names(" ", 1, ""));
}

/* Strips `fields` and compares the names that are left, joined with spaces. */
static void assert_left(struct pg_field *fields, size_t count, const char *wanted) {
    char left[512] = "";
    size_t length = 0;
    count = pg_http_strip_hop_by_hop(fields, count);
    for (size_t i = 0; i < count; i++) {
        assert_true(length + fields[i].name_length + 2 < sizeof left);
        if (i) left[length++] = ' ';
        memcpy(left + length, fields[i].name, fields[i].name_length);
        length += fields[i].name_length;
    }
    left[length] = '\0';
    assert_string_equal(left, wanted);
}

static void hop_by_hop_fields_go_and_the_order_stays(void **state) {
    (void)state;
    struct pg_field fields[] = {FIELD("B", "1"),
                                FIELD("TE", "trailers"),
                                FIELD("A", "2"),
                                FIELD("Upgrade", "h2c"),
                                FIELD("B", "3"),
                                FIELD("Transfer-Encoding", "chunked"),
                                FIELD("transfer-encoding", "x"),
                                FIELD("C", "")};
    assert_left(fields, COUNT_OF(fields), "B A B C");
    assert_memory_equal(fields[2].value, "3", 1);
    assert_left(fields, 0, "");
}

static void what_connection_names_goes_wherever_it_stands(void **state) {
    (void)state;
    struct pg_field fields[] = {FIELD("X-Before", ""),
                                FIELD("Keep", ""),
                                FIELD("Connection", "close, x-before"),
                                FIELD("X-After", ""),
                                FIELD("connection", "X-AFTER,\tx-third , ,"),
                                FIELD("x-THIRD", ""),
                                FIELD("X-After", "again")};
    assert_left(fields, COUNT_OF(fields), "Keep");
}

static void connection_may_name_itself_and_strangers(void **state) {
    (void)state;
    struct pg_field fields[] = {FIELD("Connection", "connection, x-gone, keep-alive, not-there"), FIELD("X-Gone", ""),
                                FIELD("A", ""), FIELD("Connection", ""), FIELD("Keep-Alive", "5")};
    assert_left(fields, COUNT_OF(fields), "A");
}

/* A Connection field that names what frames or routes the message must not take it away (request smuggling). */
static void connection_cannot_take_away_length_and_host(void **state) {
    (void)state;
    struct pg_field fields[] = {FIELD("Connection", "Content-Length, host , cookie"), FIELD("content-length", "5"),
                                FIELD("HOST", "a"), FIELD("Cookie", "c"), FIELD("Content-Length", "5")};
    assert_left(fields, COUNT_OF(fields), "content-length HOST Content-Length");
}

static void connection_cannot_take_away_length_and_host_in_pieces(void **state) {
    (void)state;
    struct pg_field fields[] = {FIELD("Connection", "x"),
                                FIELD("CONNECTION", "\tHOST\t"),
                                FIELD("connection", ",content-length"),
                                FIELD("Content-Length", "0"),
                                FIELD("Host", "h"),
                                FIELD("X", "")};
    assert_left(fields, COUNT_OF(fields), "Content-Length Host");
}

static void only_a_connection_field_names_others(void **state) {
    (void)state;
    struct pg_field fields[] = {FIELD("Proxy-Connection", "x-a"), FIELD("X-Connection", "x-a"), FIELD("Connection\t", "x-a"),
                                FIELD("X-A", ""), FIELD("Keep-Alive", "x-a")};
    assert_left(fields, COUNT_OF(fields), "X-Connection Connection\t X-A");
}

/* A head full of small fields, and Connection naming as many as fit: their product would be 40 million comparisons.
 * Processor time, not the clock's, and far more than a sanitizer needs for the few it should be. */
static void the_worst_head_takes_no_time(void **state) {
    (void)state;
    enum { FIELDS = 3000, LIST = 25000, RUNS = 20 };
    static struct pg_field fields[FIELDS + 1];
    static char list[LIST];
    for (size_t i = 0; i < LIST; i++) list[i] = i % 2 ? ',' : 'b';
    for (size_t i = 0; i < FIELDS; i++) fields[i] = (struct pg_field)FIELD("a", "");
    fields[FIELDS] = (struct pg_field)FIELD("Connection", "");
    fields[FIELDS].value = list;
    fields[FIELDS].value_length = LIST;
    clock_t start = clock();
    for (int i = 0; i < RUNS; i++) {
        struct pg_field connection = fields[FIELDS];
        assert_int_equal(pg_http_strip_hop_by_hop(fields, FIELDS + 1), FIELDS);
        fields[FIELDS] = connection;
    }
    assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 0.1 * RUNS);
}

/* In one Connection field or in many, the first 64 members count and empty ones are none. */
static void connection_names_as_many_as_the_limit(void **state) {
    (void)state;
    for (size_t before = PG_HTTP_NAMED_MAX - 2; before <= PG_HTTP_NAMED_MAX + 1; before++) {
        char list[4 * PG_HTTP_NAMED_MAX] = "";
        struct pg_field fields[PG_HTTP_NAMED_MAX + 4];
        size_t count = 0;
        for (size_t i = 0; i < before; i++) {
            strcat(list, "a,,");
            fields[count++] = (struct pg_field)FIELD("Connection", ", a ,");
        }
        strcat(list, "x");
        fields[count++] = (struct pg_field)FIELD("Connection", "x");
        fields[count++] = (struct pg_field)FIELD("X", "");
        assert_left(fields, count, before < PG_HTTP_NAMED_MAX ? "" : "X");
        struct pg_field one[] = {FIELD("X", ""),
                                 {.name = "connection", .name_length = 10, .value = list, .value_length = (uint32_t)strlen(list)}};
        assert_left(one, 2, before < PG_HTTP_NAMED_MAX ? "" : "X");
    }
}

static void idempotent_methods_are_these_in_this_case(void **state) {
    (void)state;
    static const char *const safe[] = {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"};
    static const char *const unsafe[] = {"POST", "PATCH", "CONNECT", "get", "Put", "GE", "GETS", "", "PROPFIND", "DELETE ", "LOCK"};
    for (size_t i = 0; i < COUNT_OF(safe); i++) assert_true(check(pg_http_is_idempotent, safe[i], strlen(safe[i])));
    for (size_t i = 0; i < COUNT_OF(unsafe); i++) assert_false(check(pg_http_is_idempotent, unsafe[i], strlen(unsafe[i])));
    assert_false(check(pg_http_is_idempotent, "PUT\0", 4));
}

static void head_is_this_in_this_case(void **state) {
    (void)state;
    assert_true(check(pg_http_is_head, "HEAD", 4));
    assert_false(check(pg_http_is_head, "head", 4));
    assert_false(check(pg_http_is_head, "HEADS", 5));
    assert_false(check(pg_http_is_head, "HEA", 3));
    assert_false(check(pg_http_is_head, "", 0));
}

static bool parse_length(const char *text, size_t length, uint64_t *value) {
    char *copy = exact_copy(text, length);
    bool good = pg_http_parse_length(copy, length, value);
    free(copy);
    return good;
}

static void a_content_length_is_digits_up_to_its_limit(void **state) {
    (void)state;
    uint64_t value = 1;
    assert_true(parse_length("0", 1, &value));
    assert_int_equal(value, 0);
    assert_true(parse_length("0000000000000000042", 19, &value));
    assert_int_equal(value, 42);
    assert_true(parse_length("9223372036854775807", 19, &value));
    assert_int_equal(value, INT64_MAX);
    static const char *const bad[] = {"",
                                      " ",
                                      "-1",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "\t1",
                                      "1,1",
                                      "1, 1",
                                      "0x10",
                                      "1.0",
                                      "1e3",
                                      "9223372036854775808",
                                      "9999999999999999999",
                                      "18446744073709551616",
                                      "00000000000000000001",
                                      "5;",
                                      "\xb2",
                                      "1\r\n"};
    value = 4711;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (parse_length(bad[i], strlen(bad[i]), &value)) fail_msg("\"%s\" was read", bad[i]);
    assert_false(parse_length("5\0", 2, &value));
    assert_int_equal(value, 4711);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_is_of_its_77_characters),
        cmocka_unit_test(a_value_has_no_cr_lf_or_nul),
        cmocka_unit_test(a_target_has_no_control_byte_or_space),
        cmocka_unit_test(a_name_is_compared_whole_and_in_either_case),
        cmocka_unit_test(the_hop_by_hop_fields_are_these),
        cmocka_unit_test(a_list_names_its_members_and_no_part_of_them),
        cmocka_unit_test(an_empty_member_names_no_field),
        cmocka_unit_test(hop_by_hop_fields_go_and_the_order_stays),
        cmocka_unit_test(what_connection_names_goes_wherever_it_stands),
        cmocka_unit_test(connection_may_name_itself_and_strangers),
        cmocka_unit_test(connection_cannot_take_away_length_and_host),
        cmocka_unit_test(connection_cannot_take_away_length_and_host_in_pieces),
        cmocka_unit_test(only_a_connection_field_names_others),
        cmocka_unit_test(the_worst_head_takes_no_time),
        cmocka_unit_test(connection_names_as_many_as_the_limit),
        cmocka_unit_test(idempotent_methods_are_these_in_this_case),
        cmocka_unit_test(head_is_this_in_this_case),
        cmocka_unit_test(a_content_length_is_digits_up_to_its_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
