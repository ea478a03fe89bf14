#include "support.h"

#include "bus_keys.h"

#include <string.h>

static const struct pg_id id = {{0x12, 0x3e, 0x45, 0x67, 0xe8, 0x9b, 0x12, 0xd3, 0xa4, 0x56, 0x42, 0x66, 0x14, 0x17, 0x40, 0x00}};

static void assert_key(struct pg_key key, const char *wanted) {
    assert_string_equal(key.text, wanted);
    assert_int_equal(key.length, strlen(wanted));
}

static void keys_are_named_as_the_design_says(void **state) {
    (void)state;
    assert_key(pg_key_requests(&id), "pg:{0}:requests:123e4567-e89b-12d3-a456-426614174000");
    assert_key(pg_key_route(&id), "pg:{0}:route:123e4567-e89b-12d3-a456-426614174000");
    assert_key(pg_key_inbox(&id), "pg:{0}:inbox:123e4567e89b12d3a456426614174000");
    assert_key(pg_key_alive(&id), "pg:{0}:alive:123e4567e89b12d3a456426614174000");
}

/* Scripts build the names of another process's keys from these and its id in hexadecimal. */
static void the_prefixes_of_scripts_are_those_of_the_keys(void **state) {
    (void)state;
    assert_memory_equal(pg_key_inbox(&id).text, PG_KEY_INBOX, strlen(PG_KEY_INBOX));
    assert_memory_equal(pg_key_alive(&id).text, PG_KEY_ALIVE, strlen(PG_KEY_ALIVE));
}

static void another_tunnel_has_other_keys(void **state) {
    (void)state;
    for (size_t i = 0; i < PG_ID_SIZE; i++) {
        struct pg_id other = id;
        other.bytes[i] ^= 1;
        assert_string_not_equal(pg_key_requests(&id).text, pg_key_requests(&other).text);
        assert_string_not_equal(pg_key_route(&id).text, pg_key_route(&other).text);
        assert_string_not_equal(pg_key_inbox(&id).text, pg_key_inbox(&other).text);
        assert_string_not_equal(pg_key_alive(&id).text, pg_key_alive(&other).text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_named_as_the_design_says),
        cmocka_unit_test(the_prefixes_of_scripts_are_those_of_the_keys),
        cmocka_unit_test(another_tunnel_has_other_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
