#include "support.h"

#include "units.h"

#include <string.h>

typedef bool parser(const char *text, uint64_t *value);

enum { UNTOUCHED = 4711 };

struct good {
    const char *text;
    uint64_t value;
};

static void assert_reads(parser *parse, const struct good *table, size_t count) {
    for (size_t i = 0; i < count; i++) {
        uint64_t value = UNTOUCHED;
        if (!parse(table[i].text, &value)) fail_msg("\"%s\" was refused", table[i].text);
        if (value != table[i].value) fail_msg("\"%s\" was read as %llu", table[i].text, (unsigned long long)value);
    }
}

static void assert_refuses(parser *parse, const char *const *table, size_t count) {
    for (size_t i = 0; i < count; i++) {
        uint64_t value = UNTOUCHED;
        if (parse(table[i], &value)) fail_msg("\"%s\" was read as %llu", table[i], (unsigned long long)value);
        assert_int_equal(value, UNTOUCHED);
    }
}

/* Refused by all three. */
static const char *const garbage[] = {"",
                                      " ",
                                      "-1",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "\t1",
                                      "1\n",
                                      "0x10",
                                      "1.5",
                                      "1e3",
                                      "1,000",
                                      "k",
                                      "ms",
                                      "s",
                                      "nan",
                                      "1kk",
                                      "1kb",
                                      "1 k",
                                      "--",
                                      "1-",
                                      "\xc2\xb2",
                                      "1000000000000000000",
                                      "18446744073709551615",
                                      "18446744073709551616",
                                      "99999999999999999999999999999"};

static void durations_are_milliseconds(void **state) {
    (void)state;
    static const struct good good[] = {
        {"0", 0},
        {"0ms", 0},
        {"1", 1000},
        {"007", 7000},
        {"1500ms", 1500},
        {"30s", 30000},
        {"5m", 300000},
        {"12h", 43200000},
        {"21d", 1814400000},
        {"999999999999999999ms", 999999999999999999},
        {"9223372036854775s", 9223372036854775000},
        {"106751991167d", 9223372036828800000},
    };
    static const char *const bad[] = {"9223372036854776s",
                                      "9223372036854776",
                                      "106751991168d",
                                      "153722867280913m",
                                      "2562047788016h",
                                      "1w",
                                      "1y",
                                      "1k",
                                      "1mss",
                                      "1sm",
                                      "1m30s"};
    assert_reads(pg_parse_duration, good, COUNT_OF(good));
    assert_refuses(pg_parse_duration, bad, COUNT_OF(bad));
    assert_refuses(pg_parse_duration, garbage, COUNT_OF(garbage));
}

static void durations_are_written_in_the_largest_unit_that_fits(void **state) {
    (void)state;
    static const struct good table[] = {{"0s", 0},
                                        {"1ms", 1},
                                        {"999ms", 999},
                                        {"1s", 1000},
                                        {"1500ms", 1500},
                                        {"90s", 90000},
                                        {"1m", 60000},
                                        {"1h", 3600000},
                                        {"25h", 90000000},
                                        {"1d", 86400000},
                                        {"36500d", 3153600000000},
                                        {"18446744073709551615ms", UINT64_MAX}};
    char text[PG_DURATION_TEXT];
    for (size_t i = 0; i < COUNT_OF(table); i++) assert_string_equal(pg_duration_text(table[i].value, text), table[i].text);
}

static void sizes_are_powers_of_1024_in_either_case(void **state) {
    (void)state;
    static const struct good good[] = {
        {"0", 0},
        {"65536", 65536},
        {"48k", 49152},
        {"48K", 49152},
        {"10m", 10485760},
        {"10M", 10485760},
        {"2g", 2147483648},
        {"2G", 2147483648},
        {"8589934591g", 9223372035781033984},
        {"999999999999999999", 999999999999999999},
    };
    static const char *const bad[] = {"8589934592g", "8796093022208m", "9007199254740992k", "1t", "1ms", "1s", "1d", "1b"};
    assert_reads(pg_parse_size, good, COUNT_OF(good));
    assert_refuses(pg_parse_size, bad, COUNT_OF(bad));
    assert_refuses(pg_parse_size, garbage, COUNT_OF(garbage));
}

static void counts_are_digits(void **state) {
    (void)state;
    static const struct good good[] = {{"0", 0}, {"1", 1}, {"000000000000000001", 1}, {"999999999999999999", 999999999999999999}};
    static const char *const bad[] = {"1k", "1m", "1s", "1g"};
    assert_reads(pg_parse_count, good, COUNT_OF(good));
    assert_refuses(pg_parse_count, bad, COUNT_OF(bad));
    assert_refuses(pg_parse_count, garbage, COUNT_OF(garbage));
}

/* The whole text must be read: every byte behind or before a number spoils it, but for the units. */
static void one_more_byte_spoils_a_count(void **state) {
    (void)state;
    for (int c = 1; c < 256; c++) {
        char after[] = {'1', (char)c, '\0'}, before[] = {(char)c, '1', '\0'};
        bool is_digit = c >= '0' && c <= '9';
        uint64_t value;
        assert_int_equal(pg_parse_count(after, &value), is_digit);
        assert_int_equal(pg_parse_count(before, &value), is_digit);
        assert_int_equal(pg_parse_size(after, &value), is_digit || strchr("kmgKMG", c) != NULL);
        assert_int_equal(pg_parse_size(before, &value), is_digit);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_milliseconds),
        cmocka_unit_test(durations_are_written_in_the_largest_unit_that_fits),
        cmocka_unit_test(sizes_are_powers_of_1024_in_either_case),
        cmocka_unit_test(counts_are_digits),
        cmocka_unit_test(one_more_byte_spoils_a_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
