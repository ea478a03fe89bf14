/* fcgi-handler/path.c: by which way a client is reached, and which life of it has an exchange. */
#include "path.h"
#include "support.h"

static struct pg_envelope way(uint32_t life, uint32_t attempt, uint8_t broker) {
    return (struct pg_envelope){.broker = {{broker}}, .session = (uint64_t)life << 32 | attempt};
}

static enum path_sender heard(struct path *path, uint32_t life, uint32_t attempt) {
    struct pg_envelope from = way(life, attempt, (uint8_t)attempt);
    return path_heard(path, &from);
}

static void a_newer_session_is_the_way_and_an_older_one_is_not(void **state) {
    (void)state;
    struct path path = {0};
    assert_int_equal(heard(&path, 7, 1), PATH_CURRENT);
    assert_int_equal(heard(&path, 7, 1), PATH_CURRENT);
    assert_int_equal(heard(&path, 7, 3), PATH_CHANGED);
    assert_int_equal(heard(&path, 7, 2), PATH_STALE);
    assert_int_equal(path.way.session, (uint64_t)7 << 32 | 3);
    assert_int_equal(heard(&path, 7, 3), PATH_CURRENT);
}

/* A client that does not count its sessions: the same number at another broker. */
static void the_same_session_elsewhere_is_the_way(void **state) {
    (void)state;
    struct path path = {0};
    struct pg_envelope one = way(7, 0, 1), other = way(7, 0, 2);
    assert_int_equal(path_heard(&path, &one), PATH_CURRENT);
    assert_int_equal(path_heard(&path, &other), PATH_CHANGED);
    assert_true(path_is_way(&path, &other));
    assert_false(path_is_way(&path, &one));
}

static void another_life_is_foreign_until_the_first_is_lost(void **state) {
    (void)state;
    struct path path = {0};
    heard(&path, 7, 1);
    assert_int_equal(heard(&path, 8, 1), PATH_FOREIGN);
    path_lose(&path);
    assert_false(path.known);
    assert_int_equal(heard(&path, 7, 2), PATH_LOST);
    assert_int_equal(heard(&path, 8, 1), PATH_CURRENT);
    assert_int_equal(heard(&path, 7, 3), PATH_LOST);
}

/* What the life that has it said by an older session is old news, also when Redis has told of another life meanwhile. */
static void old_news_stays_old_when_another_life_is_attached(void **state) {
    (void)state;
    struct path path = {0};
    struct pg_envelope anew = way(8, 1, 4);
    heard(&path, 7, 1);
    heard(&path, 7, 3);
    assert_true(path_routed(&path, &anew));
    assert_int_equal(heard(&path, 7, 2), PATH_STALE);
    assert_true(path_is_way(&path, &anew));
    assert_int_equal(heard(&path, 7, 3), PATH_CHANGED); /* it lives still: Redis is asked again */
}

static void where_redis_says_it_is_asked(void **state) {
    (void)state;
    struct path path = {0};
    struct pg_envelope older = way(7, 1, 1), same = way(7, 2, 2), newer = way(7, 3, 3), anew = way(8, 1, 4);
    assert_false(path_routed(&path, &newer)); /* nobody has it: nobody is asked */
    path_heard(&path, &same);
    assert_false(path_routed(&path, &same));
    assert_false(path_routed(&path, &older));
    assert_true(path_routed(&path, &newer));
    assert_true(path_routed(&path, &anew));
    assert_int_equal(path.taker, 7);
    assert_int_equal(path_heard(&path, &anew), PATH_FOREIGN);
    path_adopt(&path);
    assert_int_equal(path_heard(&path, &anew), PATH_CURRENT);
    assert_int_equal(path_heard(&path, &newer), PATH_LOST);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_newer_session_is_the_way_and_an_older_one_is_not),
        cmocka_unit_test(the_same_session_elsewhere_is_the_way),
        cmocka_unit_test(another_life_is_foreign_until_the_first_is_lost),
        cmocka_unit_test(old_news_stays_old_when_another_life_is_attached),
        cmocka_unit_test(where_redis_says_it_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
