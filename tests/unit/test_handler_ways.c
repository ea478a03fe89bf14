/* fcgi-handler/ways.c: where the clients of busy tunnels are. */
#include "support.h"
#include "ways.h"

static struct pg_envelope way(uint8_t tunnel, uint32_t life, uint32_t attempt, uint8_t broker) {
    struct pg_envelope made = {.broker = {{broker}}, .session = (uint64_t)life << 32 | attempt};
    made.tunnel.bytes[PG_ID_SIZE - 1] = tunnel;
    return made;
}

static uint64_t found(const struct ways *ways, const struct pg_envelope *of, uint64_t now_ms) {
    const struct pg_envelope *way = ways_find(ways, &of->tunnel, now_ms);
    return way ? way->session : 0;
}

static void a_way_is_known_for_as_long_as_it_is_fresh(void **state) {
    (void)state;
    static struct ways ways;
    struct pg_envelope one = way(1, 7, 1, 4), other = way(2, 9, 1, 4), nobody = way(0, 0, 0, 0);
    assert_int_equal(found(&ways, &one, 5000), 0);
    assert_int_equal(found(&ways, &nobody, 5000), 0);
    ways_heard(&ways, &one, 5000);
    assert_int_equal(found(&ways, &one, 5000), one.session);
    assert_int_equal(found(&ways, &one, 5000 + WAYS_FRESH_MS - 1), one.session);
    assert_int_equal(found(&ways, &one, 5000 + WAYS_FRESH_MS), 0);
    assert_int_equal(found(&ways, &other, 5000), 0);
}

static void a_newer_session_is_the_way_and_an_older_one_is_not(void **state) {
    (void)state;
    static struct ways ways;
    struct pg_envelope first = way(1, 7, 1, 4), second = way(1, 7, 2, 5), next_life = way(1, 8, 1, 4);
    ways_heard(&ways, &second, 10);
    ways_heard(&ways, &first, 11);
    assert_int_equal(found(&ways, &first, 12), second.session);
    assert_memory_equal(ways_find(&ways, &first.tunnel, 12), &second, sizeof second);
    ways_heard(&ways, &next_life, 13);
    assert_int_equal(found(&ways, &first, 14), next_life.session);
    /* A client that does not count its sessions: the number says nothing. */
    ways_heard(&ways, &second, 20);
    ways_heard(&ways, &first, 20 + WAYS_FRESH_MS);
    assert_int_equal(found(&ways, &first, 20 + WAYS_FRESH_MS), first.session);
}

static void a_closed_way_stays_closed_whatever_is_heard(void **state) {
    (void)state;
    static struct ways ways;
    struct pg_envelope one = way(1, 7, 1, 4), newer = way(1, 7, 2, 5);
    ways_heard(&ways, &one, 100);
    ways_close(&ways, &one.tunnel, newer.session, 100); /* of another session: not this way */
    assert_int_equal(found(&ways, &one, 100), one.session);
    ways_close(&ways, &one.tunnel, one.session, 100);
    assert_int_equal(found(&ways, &one, 100), 0);
    ways_heard(&ways, &newer, 100 + WAYS_CLOSED_MS - 1);
    assert_int_equal(found(&ways, &one, 100 + WAYS_CLOSED_MS - 1), 0);
    assert_int_equal(found(&ways, &one, 100 + WAYS_CLOSED_MS), newer.session);
}

static void a_client_that_attached_elsewhere_is_there(void **state) {
    (void)state;
    static struct ways ways;
    struct pg_envelope one = way(1, 7, 1, 4), next = way(1, 7, 2, 5);
    ways_heard(&ways, &one, 100);
    ways_leave(&ways, &one.tunnel, one.session); /* it is that one */
    assert_int_equal(found(&ways, &one, 100), one.session);
    ways_close(&ways, &one.tunnel, one.session, 100);
    ways_leave(&ways, &one.tunnel, next.session);
    assert_int_equal(found(&ways, &one, 100), 0);
    ways_heard(&ways, &next, 101);
    assert_int_equal(found(&ways, &one, 101), next.session);
}

static void of_two_tunnels_in_one_place_the_last_heard_has_it(void **state) {
    (void)state;
    static struct ways ways;
    struct pg_envelope one = way(1, 7, 1, 4), other = way(1, 9, 1, 5);
    other.tunnel.bytes[0] = 1;
    ways_heard(&ways, &one, 100);
    ways_close(&ways, &one.tunnel, one.session, 100);
    ways_heard(&ways, &other, 100);
    assert_int_equal(found(&ways, &one, 100), 0);
    assert_int_equal(found(&ways, &other, 100), other.session);
    ways_close(&ways, &one.tunnel, other.session, 100);
    assert_int_equal(found(&ways, &other, 100), other.session);
    ways_forget(&ways);
    assert_int_equal(found(&ways, &other, 100), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_way_is_known_for_as_long_as_it_is_fresh),
        cmocka_unit_test(a_newer_session_is_the_way_and_an_older_one_is_not),
        cmocka_unit_test(a_closed_way_stays_closed_whatever_is_heard),
        cmocka_unit_test(a_client_that_attached_elsewhere_is_there),
        cmocka_unit_test(of_two_tunnels_in_one_place_the_last_heard_has_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
