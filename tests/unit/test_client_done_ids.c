/* client/done_ids.c: the last so many ids, and no others. */
#include "bytes.h"
#include "done_ids.h"
#include "support.h"

static struct pg_id number(uint32_t n, uint32_t bucket) {
    struct pg_id id = {{0}};
    pg_put_u32(id.bytes, bucket);
    pg_put_u32(id.bytes + 8, n);
    return id;
}

static void the_newest_are_known_and_the_oldest_forgotten(void **state) {
    (void)state;
    static const uint32_t spreads[] = {1, 7, DONE_IDS_MAX, UINT32_MAX}; /* how many buckets they fall into */
    for (size_t s = 0; s < sizeof spreads / sizeof *spreads; s++) {
        struct done_ids done = {0};
        uint32_t total = spreads[s] < 100 ? DONE_IDS_MAX + 500 : 3 * DONE_IDS_MAX + 5;
        for (uint32_t n = 0; n < total; n++) {
            struct pg_id id = number(n, n % spreads[s]);
            if (n % 512 == 0) assert_false(done_ids_has(&done, &id));
            done_ids_add(&done, &id);
            if (n % 512 == 0) assert_true(done_ids_has(&done, &id));
        }
        for (uint32_t n = 0; n < total; n += 97) {
            struct pg_id id = number(n, n % spreads[s]);
            assert_int_equal(done_ids_has(&done, &id), n >= total - DONE_IDS_MAX);
        }
        done_ids_free(&done);
    }
}

static void without_memory_nothing_is_known(void **state) {
    (void)state;
    struct done_ids done = {0};
    struct pg_id id = number(1, 1);
    memory_runs_out_after(0);
    done_ids_add(&done, &id);
    memory_is_back();
    assert_false(done_ids_has(&done, &id));
    done_ids_free(&done);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_are_known_and_the_oldest_forgotten),
        cmocka_unit_test(without_memory_nothing_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
