#include "support.h"

#include "id.h"

#include <stdlib.h>
#include <string.h>

static const char uuid_text[] = "123e4567-e89b-12d3-a456-426614174000";
static const char hex_text[] = "123e4567e89b12d3a456426614174000";
static const struct pg_id known = {
    {0x12, 0x3e, 0x45, 0x67, 0xe8, 0x9b, 0x12, 0xd3, 0xa4, 0x56, 0x42, 0x66, 0x14, 0x17, 0x40, 0x00}};
/* The neighbours of the digits in ASCII, and what else people try. */
static const char bad[] = {'/', ':', '@', 'G', '`', 'g', ' ', '-', '\0', '\x80', '\xff', '{', '+', 'x'};

typedef bool parser(const char *text, size_t length, struct pg_id *id);

/* The text stands in memory of exactly its length: no NUL behind it. */
static bool parse(parser *parse_id, const char *text, size_t length, struct pg_id *id) {
    char *copy = exact_copy(text, length);
    bool good = parse_id(copy, length, id);
    free(copy);
    return good;
}

static void assert_refused(parser *parse_id, const char *text, size_t length) {
    struct pg_id id = known;
    assert_false(parse(parse_id, text, length, &id));
    assert_memory_equal(&id, &known, sizeof id);
}

static void ids_of_a_pool_are_version_4_and_differ(void **state) {
    (void)state;
    static struct pg_id ids[5 * PG_ID_POOL + 3];
    struct pg_id_pool pool = {.left = 0};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        ids[i] = pg_id_pool_take(&pool);
        assert_int_equal(ids[i].bytes[6] >> 4, 4);
        assert_int_equal(ids[i].bytes[8] >> 6, 2);
        for (size_t before = 0; before < i; before++) assert_false(pg_id_equal(&ids[i], &ids[before]));
    }
}

static void random_ids_are_version_4_and_differ(void **state) {
    (void)state;
    struct pg_id last = {{0}};
    for (int i = 0; i < 1000; i++) {
        struct pg_id id = pg_id_random();
        assert_int_equal(id.bytes[6] >> 4, 4);
        assert_int_equal(id.bytes[8] >> 6, 2);
        assert_false(pg_id_equal(&id, &last));
        assert_false(pg_id_is_zero(&id));
        last = id;
    }
}

static void every_byte_counts_when_compared(void **state) {
    (void)state;
    struct pg_id zero = {{0}}, other = known;
    assert_true(pg_id_is_zero(&zero));
    assert_true(pg_id_equal(&known, &other));
    for (size_t i = 0; i < PG_ID_SIZE; i++) {
        other = known;
        other.bytes[i] ^= 1;
        assert_false(pg_id_equal(&known, &other));
        struct pg_id almost = {{0}};
        almost.bytes[i] = 0x80;
        assert_false(pg_id_is_zero(&almost));
    }
}

static void both_texts_are_read_in_either_case(void **state) {
    (void)state;
    char upper[PG_UUID_TEXT + 1];
    for (size_t i = 0; i < sizeof upper; i++) {
        char c = uuid_text[i];
        upper[i] = c >= 'a' && c <= 'f' ? (char)(c - 'a' + 'A') : c;
    }
    struct pg_id id = {{0}};
    assert_true(parse(pg_id_parse_uuid, uuid_text, PG_UUID_TEXT, &id));
    assert_true(pg_id_equal(&id, &known));
    id = (struct pg_id){{0}};
    assert_true(parse(pg_id_parse_uuid, upper, PG_UUID_TEXT, &id));
    assert_true(pg_id_equal(&id, &known));
    id = (struct pg_id){{0}};
    assert_true(parse(pg_id_parse_hex, hex_text, PG_ID_HEX, &id));
    assert_true(pg_id_equal(&id, &known));
    assert_true(parse(pg_id_parse_hex, "ABCDEFABCDEF0123456789abcdefabcd", PG_ID_HEX, &id));
}

static void random_ids_come_back_from_both_texts(void **state) {
    (void)state;
    char uuid[PG_UUID_TEXT + 1], hex[PG_ID_HEX + 1];
    for (int i = 0; i < 500; i++) {
        struct pg_id id = pg_id_random(), back;
        assert_ptr_equal(pg_id_uuid(&id, uuid), uuid);
        assert_int_equal(strlen(uuid), PG_UUID_TEXT);
        assert_true(parse(pg_id_parse_uuid, uuid, PG_UUID_TEXT, &back) && pg_id_equal(&id, &back));
        assert_ptr_equal(pg_id_hex(&id, hex), hex);
        assert_int_equal(strlen(hex), PG_ID_HEX);
        assert_true(parse(pg_id_parse_hex, hex, PG_ID_HEX, &back) && pg_id_equal(&id, &back));
    }
    assert_string_equal(pg_id_uuid(&known, uuid), uuid_text);
    assert_string_equal(pg_id_hex(&known, hex), hex_text);
}

static void a_wrong_character_anywhere_is_refused(void **state) {
    (void)state;
    for (size_t at = 0; at < PG_UUID_TEXT; at++) {
        for (size_t i = 0; i < sizeof bad; i++) {
            char text[PG_UUID_TEXT + 1];
            memcpy(text, uuid_text, sizeof text);
            if (text[at] == bad[i]) continue;
            text[at] = bad[i];
            assert_refused(pg_id_parse_uuid, text, PG_UUID_TEXT);
        }
    }
    for (size_t at = 0; at < PG_ID_HEX; at++) {
        for (size_t i = 0; i < sizeof bad; i++) {
            char text[PG_ID_HEX + 1];
            memcpy(text, hex_text, sizeof text);
            text[at] = bad[i];
            assert_refused(pg_id_parse_hex, text, PG_ID_HEX);
        }
    }
}

static void a_digit_where_a_dash_belongs_is_refused(void **state) {
    (void)state;
    static const size_t dashes[] = {8, 13, 18, 23};
    for (size_t i = 0; i < COUNT_OF(dashes); i++) {
        char text[PG_UUID_TEXT + 1];
        memcpy(text, uuid_text, sizeof text);
        text[dashes[i]] = '0';
        assert_refused(pg_id_parse_uuid, text, PG_UUID_TEXT);
    }
}

static void every_other_length_is_refused(void **state) {
    (void)state;
    char longer[64];
    memset(longer, '1', sizeof longer);
    memcpy(longer, uuid_text, PG_UUID_TEXT);
    for (size_t length = 0; length < sizeof longer; length++)
        if (length != PG_UUID_TEXT) assert_refused(pg_id_parse_uuid, longer, length);
    memset(longer, '1', sizeof longer);
    for (size_t length = 0; length < sizeof longer; length++)
        if (length != PG_ID_HEX) assert_refused(pg_id_parse_hex, longer, length);
    assert_refused(pg_id_parse_uuid, "{123e4567-e89b-12d3-a456-426614174000}", 38);
    assert_refused(pg_id_parse_hex, uuid_text, PG_UUID_TEXT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_ids_are_version_4_and_differ),     cmocka_unit_test(ids_of_a_pool_are_version_4_and_differ),
        cmocka_unit_test(every_byte_counts_when_compared),         cmocka_unit_test(both_texts_are_read_in_either_case),
        cmocka_unit_test(random_ids_come_back_from_both_texts),    cmocka_unit_test(a_wrong_character_anywhere_is_refused),
        cmocka_unit_test(a_digit_where_a_dash_belongs_is_refused), cmocka_unit_test(every_other_length_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
