#include "support.h"

#include "clock.h"

#include <time.h>

static void the_clock_never_goes_back(void **state) {
    (void)state;
    uint64_t last_us = pg_clock_us(), last_ms = pg_clock_ms();
    for (int i = 0; i < 10000; i++) {
        uint64_t us = pg_clock_us(), ms = pg_clock_ms();
        assert_true(us >= last_us);
        assert_true(ms >= last_ms);
        last_us = us;
        last_ms = ms;
    }
}

static void both_units_are_of_one_clock(void **state) {
    (void)state;
    uint64_t before = pg_clock_us() / 1000;
    uint64_t ms = pg_clock_ms();
    uint64_t after = pg_clock_us() / 1000;
    assert_in_range(ms, before, after);
}

/* The clock that goes on while a laptop sleeps, or waking up would go unnoticed. */
static void the_clock_counts_sleep(void **state) {
    (void)state;
    struct timespec boot;
    uint64_t before = pg_clock_ms();
    clock_gettime(CLOCK_BOOTTIME, &boot);
    uint64_t after = pg_clock_ms();
    assert_in_range((uint64_t)boot.tv_sec * 1000 + (uint64_t)boot.tv_nsec / 1000000, before, after);
}

static void unix_time_is_the_worlds(void **state) {
    (void)state;
    struct timespec now;
    uint64_t before = pg_clock_unix_ms();
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t after = pg_clock_unix_ms();
    assert_in_range((uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000, before, after);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_clock_never_goes_back),
        cmocka_unit_test(both_units_are_of_one_clock),
        cmocka_unit_test(the_clock_counts_sleep),
        cmocka_unit_test(unix_time_is_the_worlds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
