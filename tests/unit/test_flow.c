#include "support.h"

#include "flow.h"

#include <string.h>

enum { WINDOW = 1024 };

static struct pg_outflow out;
static struct pg_inflow in;
static uint8_t stream[64 * WINDOW]; /* the bytes of every stream here, by offset */

static int setup(void **state) {
    (void)state;
    uint64_t seed = 1;
    for (size_t i = 0; i < sizeof stream; i++) stream[i] = (uint8_t)random_next(&seed);
    pg_outflow_init(&out, WINDOW);
    pg_inflow_init(&in, WINDOW);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    pg_outflow_clear(&out);
    pg_inflow_clear(&in);
    return blocks_alive() == 0 ? 0 : -1;
}

static bool append(size_t length) {
    return pg_outflow_append(&out, stream + out.acked + out.kept.length, length);
}

/* Sends the next piece, which must be these bytes. */
static void assert_next(size_t max, size_t wanted_length, bool wanted_end) {
    const uint8_t *bytes;
    size_t length;
    bool end;
    assert_true(pg_outflow_next(&out, max, &bytes, &length, &end));
    assert_int_equal(length, wanted_length);
    assert_int_equal(end, wanted_end);
    if (length) assert_memory_equal(bytes, stream + out.sent, length);
    pg_outflow_sent(&out, length, end);
}

static void assert_nothing_next(void) {
    const uint8_t *bytes;
    size_t length;
    bool end;
    assert_false(pg_outflow_next(&out, SIZE_MAX, &bytes, &length, &end));
    assert_int_equal(length, 0);
}

static enum pg_inflow_result take(uint64_t offset, size_t length, bool end) {
    return pg_inflow_take(&in, offset, stream + offset, length, end);
}

/* What is held is what the stream has there. */
static void assert_holds(uint64_t passed, size_t held) {
    size_t length;
    assert_int_equal(in.passed, passed);
    assert_int_equal(in.held.length, held);
    assert_int_equal(pg_inflow_received(&in), passed + held);
    const uint8_t *bytes = pg_inflow_peek(&in, &length);
    assert_true(length <= held && (length > 0) == (held > 0));
    if (length) assert_memory_equal(bytes, stream + passed, length);
}

static void a_window_is_appended_and_not_a_byte_more(void **state) {
    (void)state;
    assert_int_equal(pg_outflow_room(&out), WINDOW);
    assert_false(append(WINDOW + 1));
    assert_true(append(WINDOW - 1));
    assert_int_equal(pg_outflow_room(&out), 1);
    assert_false(append(2));
    assert_true(append(1));
    assert_int_equal(pg_outflow_room(&out), 0);
    assert_false(append(1));
    assert_true(append(0));
    /* Sending makes no room; being acknowledged does. */
    assert_next(SIZE_MAX, WINDOW, false);
    assert_false(append(1));
    assert_true(pg_outflow_ack(&out, 3));
    assert_int_equal(pg_outflow_room(&out), 3);
    assert_false(append(4));
    assert_true(append(3));
}

static void pieces_are_as_large_as_asked(void **state) {
    (void)state;
    assert_nothing_next();
    assert_true(append(100));
    assert_next(60, 60, false);
    assert_next(40, 40, false);
    assert_nothing_next();
    assert_true(append(1));
    assert_next(60, 1, false);
    assert_nothing_next();
}

static void only_what_was_really_taken_counts_as_sent(void **state) {
    (void)state;
    const uint8_t *bytes;
    size_t length;
    bool end;
    assert_true(append(100));
    pg_outflow_end(&out);
    assert_true(pg_outflow_next(&out, 100, &bytes, &length, &end));
    assert_int_equal(length, 100);
    assert_true(end);
    pg_outflow_sent(&out, 30, false); /* the rest did not fit */
    assert_next(100, 70, true);
    assert_nothing_next();
}

static void the_end_goes_with_the_last_byte_once(void **state) {
    (void)state;
    assert_true(append(100));
    pg_outflow_end(&out);
    assert_int_equal(pg_outflow_room(&out), 0);
    assert_false(append(1));
    assert_false(append(0));
    assert_next(99, 99, false);
    assert_false(pg_outflow_done(&out));
    assert_next(99, 1, true);
    assert_nothing_next();
    assert_true(pg_outflow_ack(&out, 99));
    assert_false(pg_outflow_done(&out));
    assert_nothing_next();
    assert_true(pg_outflow_ack(&out, 100));
    assert_true(pg_outflow_done(&out));
}

static void an_end_that_comes_later_goes_alone(void **state) {
    (void)state;
    assert_true(append(10));
    assert_next(SIZE_MAX, 10, false);
    assert_true(pg_outflow_ack(&out, 10));
    assert_nothing_next();
    assert_false(pg_outflow_done(&out));
    pg_outflow_end(&out);
    assert_false(pg_outflow_done(&out));
    assert_next(SIZE_MAX, 0, true);
    assert_nothing_next();
    assert_true(pg_outflow_done(&out));
}

static void an_empty_stream_is_an_end(void **state) {
    (void)state;
    pg_outflow_end(&out);
    assert_next(0, 0, true);
    assert_nothing_next();
    assert_true(pg_outflow_done(&out));
}

static void no_room_to_send_is_no_end(void **state) {
    (void)state;
    const uint8_t *bytes;
    size_t length;
    bool end;
    assert_true(append(5));
    pg_outflow_end(&out);
    assert_false(pg_outflow_next(&out, 0, &bytes, &length, &end));
    assert_false(end);
}

static void an_ack_beyond_what_was_sent_is_refused(void **state) {
    (void)state;
    assert_false(pg_outflow_ack(&out, 1));
    assert_true(pg_outflow_ack(&out, 0));
    assert_true(append(100));
    assert_false(pg_outflow_ack(&out, 1)); /* there, but not sent */
    assert_next(50, 50, false);
    assert_false(pg_outflow_ack(&out, 51));
    assert_false(pg_outflow_ack(&out, UINT64_MAX));
    assert_int_equal(out.acked, 0);
    assert_true(pg_outflow_ack(&out, 50));
    assert_int_equal(out.acked, 50);
    assert_next(SIZE_MAX, 50, false);
}

static void an_older_ack_is_ignored(void **state) {
    (void)state;
    assert_true(append(100));
    assert_next(SIZE_MAX, 100, false);
    assert_true(pg_outflow_ack(&out, 60));
    assert_true(pg_outflow_ack(&out, 60));
    assert_true(pg_outflow_ack(&out, 59));
    assert_true(pg_outflow_ack(&out, 0));
    assert_int_equal(out.acked, 60);
    assert_int_equal(out.kept.length, 40);
}

/* What was not acknowledged is still there to be sent again from where the other end is. */
static void what_is_not_acknowledged_can_be_sent_again(void **state) {
    (void)state;
    assert_true(append(100));
    pg_outflow_end(&out);
    assert_next(SIZE_MAX, 100, true);
    assert_true(pg_outflow_ack(&out, 40));
    out.sent = out.acked;
    out.end_sent = false;
    assert_next(30, 30, false);
    assert_next(SIZE_MAX, 30, true);
    assert_nothing_next();
}

static void without_memory_nothing_is_appended(void **state) {
    (void)state;
    memory_runs_out_after(0);
    bool appended = append(10);
    memory_is_back();
    assert_false(appended);
    assert_nothing_next();
    assert_true(append(10));
    assert_next(SIZE_MAX, 10, false);
}

static void bytes_in_order_are_taken_and_passed_on(void **state) {
    (void)state;
    assert_int_equal(take(0, 10, false), PG_INFLOW_TAKEN);
    assert_int_equal(take(10, 20, false), PG_INFLOW_TAKEN);
    assert_holds(0, 30);
    pg_inflow_pass(&in, 12);
    assert_holds(12, 18);
    pg_inflow_pass(&in, 18);
    assert_holds(30, 0);
    assert_false(pg_inflow_done(&in));
}

static void what_is_known_is_not_taken_again(void **state) {
    (void)state;
    assert_int_equal(take(0, 30, false), PG_INFLOW_TAKEN);
    assert_int_equal(take(0, 30, false), PG_INFLOW_KNOWN);
    assert_int_equal(take(5, 10, false), PG_INFLOW_KNOWN);
    pg_inflow_pass(&in, 20);
    assert_int_equal(take(0, 10, false), PG_INFLOW_KNOWN); /* passed on long ago */
    assert_int_equal(take(0, 30, false), PG_INFLOW_KNOWN);
    assert_int_equal(take(30, 0, false), PG_INFLOW_KNOWN);
    assert_holds(20, 10);
}

static void of_an_overlap_the_new_part_is_taken(void **state) {
    (void)state;
    assert_int_equal(take(0, 30, false), PG_INFLOW_TAKEN);
    assert_int_equal(take(20, 11, false), PG_INFLOW_TAKEN);
    assert_holds(0, 31);
    pg_inflow_pass(&in, 25);
    assert_int_equal(take(0, 40, false), PG_INFLOW_TAKEN);
    assert_holds(25, 15);
    assert_int_equal(take(10, 40, true), PG_INFLOW_TAKEN);
    assert_holds(25, 25);
    assert_true(in.ended);
}

static void a_gap_is_told_and_changes_nothing(void **state) {
    (void)state;
    assert_int_equal(take(1, 10, false), PG_INFLOW_GAP);
    assert_int_equal(take(1, 0, true), PG_INFLOW_GAP);
    assert_int_equal(take(WINDOW - 1, 1, true), PG_INFLOW_GAP);
    assert_holds(0, 0);
    assert_int_equal(take(0, 10, false), PG_INFLOW_TAKEN);
    assert_int_equal(take(11, 10, false), PG_INFLOW_GAP);
    assert_holds(0, 10);
    assert_false(in.ended);
}

static void the_window_holds_on_both_sides(void **state) {
    (void)state;
    assert_int_equal(take(0, WINDOW + 1, false), PG_INFLOW_ERROR);
    assert_holds(0, 0);
    assert_int_equal(take(0, WINDOW, false), PG_INFLOW_TAKEN);
    assert_int_equal(take(WINDOW, 1, false), PG_INFLOW_ERROR);
    assert_int_equal(take(WINDOW - 1, 2, false), PG_INFLOW_ERROR);
    assert_int_equal(take(WINDOW, 0, false), PG_INFLOW_KNOWN);
    pg_inflow_pass(&in, 7);
    assert_int_equal(take(WINDOW, 8, false), PG_INFLOW_ERROR);
    assert_int_equal(take(WINDOW, 7, false), PG_INFLOW_TAKEN);
    assert_holds(7, WINDOW);
}

/* No sender may be beyond the window, whatever it left out before: that is no gap to wait for. */
static void beyond_the_window_is_no_gap(void **state) {
    (void)state;
    assert_int_equal(take(1, WINDOW - 1, false), PG_INFLOW_GAP);
    assert_int_equal(take(1, WINDOW, false), PG_INFLOW_ERROR);
    assert_int_equal(take(WINDOW + 1, 0, true), PG_INFLOW_ERROR);
    assert_int_equal(pg_inflow_take(&in, UINT64_MAX / 2, stream, 65312, false), PG_INFLOW_ERROR);
    assert_holds(0, 0);
}

static void the_end_may_come_with_bytes_alone_or_again(void **state) {
    (void)state;
    assert_int_equal(take(0, 10, true), PG_INFLOW_TAKEN);
    assert_false(pg_inflow_done(&in));
    assert_int_equal(take(0, 10, true), PG_INFLOW_KNOWN);
    assert_int_equal(take(10, 0, true), PG_INFLOW_KNOWN);
    assert_int_equal(take(0, 10, false), PG_INFLOW_KNOWN); /* sent before the end was known */
    assert_int_equal(take(3, 4, false), PG_INFLOW_KNOWN);
    pg_inflow_pass(&in, 10);
    assert_true(pg_inflow_done(&in));
}

static void an_end_alone_is_taken_once(void **state) {
    (void)state;
    assert_int_equal(take(0, 10, false), PG_INFLOW_TAKEN);
    pg_inflow_pass(&in, 10);
    assert_int_equal(pg_inflow_take(&in, 10, NULL, 0, true), PG_INFLOW_TAKEN);
    assert_true(pg_inflow_done(&in));
    assert_int_equal(pg_inflow_take(&in, 10, NULL, 0, true), PG_INFLOW_KNOWN);
}

static void an_empty_stream_ends_at_once(void **state) {
    (void)state;
    assert_false(pg_inflow_done(&in));
    assert_int_equal(pg_inflow_take(&in, 0, NULL, 0, true), PG_INFLOW_TAKEN);
    assert_true(pg_inflow_done(&in));
    assert_int_equal(take(0, 1, false), PG_INFLOW_ERROR);
}

static void an_end_before_what_is_here_is_an_error(void **state) {
    (void)state;
    assert_int_equal(take(0, 10, false), PG_INFLOW_TAKEN);
    assert_int_equal(take(0, 9, true), PG_INFLOW_ERROR);
    assert_int_equal(take(9, 0, true), PG_INFLOW_ERROR);
    assert_int_equal(take(0, 0, true), PG_INFLOW_ERROR);
    pg_inflow_pass(&in, 10);
    assert_int_equal(take(0, 9, true), PG_INFLOW_ERROR);
    assert_false(in.ended);
    assert_int_equal(take(0, 10, true), PG_INFLOW_TAKEN);
}

static void bytes_or_another_end_after_the_end_are_an_error(void **state) {
    (void)state;
    assert_int_equal(take(0, 10, true), PG_INFLOW_TAKEN);
    assert_int_equal(take(10, 1, false), PG_INFLOW_ERROR);
    assert_int_equal(take(5, 6, true), PG_INFLOW_ERROR);
    assert_int_equal(take(0, 9, true), PG_INFLOW_ERROR);
    assert_int_equal(take(0, 11, true), PG_INFLOW_ERROR);
    assert_holds(0, 10);
}

/* Nothing can be missing from a stream that is whole. */
static void beyond_the_end_is_no_gap(void **state) {
    (void)state;
    assert_int_equal(take(0, 10, true), PG_INFLOW_TAKEN);
    assert_int_equal(take(11, 1, false), PG_INFLOW_ERROR);
    assert_int_equal(take(11, 0, true), PG_INFLOW_ERROR);
    assert_int_equal(take(11, 0, false), PG_INFLOW_ERROR);
    assert_holds(0, 10);
}

static void bytes_passed_through_count_as_received(void **state) {
    (void)state;
    pg_inflow_through(&in, 100, false);
    assert_holds(100, 0);
    assert_int_equal(take(0, 100, false), PG_INFLOW_KNOWN);
    assert_int_equal(take(90, 20, false), PG_INFLOW_TAKEN);
    assert_holds(100, 10);
    pg_inflow_pass(&in, 10);
    pg_inflow_through(&in, 0, true);
    assert_true(pg_inflow_done(&in));
    assert_int_equal(take(110, 1, false), PG_INFLOW_ERROR);
}

static void a_quarter_of_the_sender_s_window_is_worth_telling(void **state) {
    (void)state;
    enum { FIRST = WINDOW / 4 /* what a sender begins with */ };
    assert_false(pg_inflow_should_tell(&in));
    assert_int_equal(take(0, FIRST / 4, false), PG_INFLOW_TAKEN);
    assert_false(pg_inflow_should_tell(&in)); /* taken is not passed on */
    pg_inflow_pass(&in, FIRST / 4 - 1);
    assert_false(pg_inflow_should_tell(&in));
    pg_inflow_pass(&in, 1);
    assert_true(pg_inflow_should_tell(&in));
    in.told = in.passed;
    assert_false(pg_inflow_should_tell(&in));
    pg_inflow_through(&in, FIRST / 4 - 1, false);
    assert_false(pg_inflow_should_tell(&in));
    pg_inflow_through(&in, 1, true);
    assert_true(pg_inflow_should_tell(&in));
}

static void a_sender_that_had_more_under_way_is_wide(void **state) {
    (void)state;
    enum { FIRST = WINDOW / 4 };
    assert_int_equal(take(0, FIRST, false), PG_INFLOW_TAKEN);
    assert_false(in.wide);
    assert_int_equal(take(FIRST, 1, false), PG_INFLOW_TAKEN);
    assert_true(in.wide);
    pg_inflow_pass(&in, FIRST - 1);
    assert_false(pg_inflow_should_tell(&in));
    pg_inflow_pass(&in, 1);
    assert_true(pg_inflow_should_tell(&in));
    in.told = in.passed;
    pg_inflow_pass(&in, 1);
    assert_true(in.wide); /* for ever */
}

static void a_window_can_be_widened(void **state) {
    (void)state;
    assert_true(append(WINDOW));
    assert_int_equal(pg_outflow_room(&out), 0);
    pg_outflow_widen(&out, 4 * WINDOW);
    assert_int_equal(pg_outflow_room(&out), 3 * WINDOW);
    assert_true(append(3 * WINDOW));
    assert_false(append(1));
}

static void without_memory_nothing_is_taken(void **state) {
    (void)state;
    memory_runs_out_after(0);
    enum pg_inflow_result result = take(0, 10, true);
    memory_is_back();
    assert_int_equal(result, PG_INFLOW_ERROR);
    assert_holds(0, 0);
    assert_false(in.ended);
    assert_int_equal(take(0, 10, true), PG_INFLOW_TAKEN);
}

/* One turn on a path that loses, repeats and cuts: whatever arrives is right, and at the end all has. */
static bool turn(uint64_t *seed, size_t *appended) {
    const uint8_t *bytes;
    size_t length;
    bool end;
    size_t more = random_below(seed, pg_outflow_room(&out) + 1);
    if (more > sizeof stream - *appended) more = sizeof stream - *appended;
    if (more) assert_true(append(more));
    *appended += more;
    if (*appended == sizeof stream) pg_outflow_end(&out);
    while (pg_outflow_next(&out, 1 + random_below(seed, 400), &bytes, &length, &end)) {
        uint64_t offset = out.sent;
        pg_outflow_sent(&out, length, end);
        size_t times = random_below(seed, 12) ? 1 + random_below(seed, 2) : 0;
        for (size_t i = 0; i < times; i++) {
            enum pg_inflow_result result = pg_inflow_take(&in, offset, bytes, length, end);
            assert_int_not_equal(result, PG_INFLOW_ERROR);
        }
    }
    pg_inflow_pass(&in, random_below(seed, in.held.length + 1));
    if (random_below(seed, 2)) assert_true(pg_outflow_ack(&out, in.passed));
    assert_holds(in.passed, in.held.length);
    out.sent = out.acked; /* a new path: all that is not acknowledged goes again */
    out.end_sent = false;
    return !(in.ended && in.held.length == 0);
}

static void a_stream_arrives_whole_over_a_bad_path(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        uint64_t random = seed;
        size_t appended = 0;
        while (turn(&random, &appended)) assert_true(in.held.length <= WINDOW && out.kept.length <= WINDOW);
        assert_int_equal(in.passed, sizeof stream);
        pg_outflow_clear(&out);
        pg_inflow_clear(&in);
        pg_outflow_init(&out, WINDOW);
        pg_inflow_init(&in, WINDOW);
    }
}

static void a_rewound_stream_is_sent_again_from_there(void **state) {
    const uint8_t *bytes;
    size_t length;
    bool end;
    (void)state;
    struct pg_outflow again;
    pg_outflow_init(&again, WINDOW);
    assert_true(pg_outflow_append(&again, "abcdef", 6));
    pg_outflow_end(&again);
    pg_outflow_sent(&again, 6, true);
    assert_true(pg_outflow_ack(&again, 2));
    assert_true(pg_outflow_rewind(&again, 1, false)); /* acknowledged by now: old news */
    assert_int_equal(again.sent, 6);
    assert_false(pg_outflow_rewind(&again, 7, false)); /* never sent */
    assert_false(pg_outflow_rewind(&again, 5, true));  /* the end comes behind the last byte */
    assert_true(pg_outflow_rewind(&again, 6, true));
    assert_false(pg_outflow_next(&again, 100, &bytes, &length, &end));
    assert_true(pg_outflow_rewind(&again, 4, false));
    assert_true(pg_outflow_next(&again, 100, &bytes, &length, &end));
    assert_int_equal(length, 2);
    assert_memory_equal(bytes, "ef", 2);
    assert_true(end);
    assert_true(pg_outflow_ack(&again, 5)); /* sent before it was rewound, and come after all */
    assert_int_equal(again.sent, 5);
    assert_true(pg_outflow_ack(&again, 6));
    assert_false(pg_outflow_ack(&again, 7));
    assert_false(pg_outflow_done(&again)); /* the end may be lost */
    assert_true(pg_outflow_rewind(&again, 6, true));
    assert_true(pg_outflow_done(&again));
    pg_outflow_clear(&again);
}

#define FLOW_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        FLOW_TEST(a_window_is_appended_and_not_a_byte_more),
        FLOW_TEST(pieces_are_as_large_as_asked),
        FLOW_TEST(only_what_was_really_taken_counts_as_sent),
        FLOW_TEST(the_end_goes_with_the_last_byte_once),
        FLOW_TEST(an_end_that_comes_later_goes_alone),
        FLOW_TEST(an_empty_stream_is_an_end),
        FLOW_TEST(no_room_to_send_is_no_end),
        FLOW_TEST(an_ack_beyond_what_was_sent_is_refused),
        FLOW_TEST(an_older_ack_is_ignored),
        FLOW_TEST(what_is_not_acknowledged_can_be_sent_again),
        FLOW_TEST(a_rewound_stream_is_sent_again_from_there),
        FLOW_TEST(without_memory_nothing_is_appended),
        FLOW_TEST(bytes_in_order_are_taken_and_passed_on),
        FLOW_TEST(what_is_known_is_not_taken_again),
        FLOW_TEST(of_an_overlap_the_new_part_is_taken),
        FLOW_TEST(a_gap_is_told_and_changes_nothing),
        FLOW_TEST(the_window_holds_on_both_sides),
        FLOW_TEST(beyond_the_window_is_no_gap),
        FLOW_TEST(the_end_may_come_with_bytes_alone_or_again),
        FLOW_TEST(an_end_alone_is_taken_once),
        FLOW_TEST(an_empty_stream_ends_at_once),
        FLOW_TEST(an_end_before_what_is_here_is_an_error),
        FLOW_TEST(bytes_or_another_end_after_the_end_are_an_error),
        FLOW_TEST(beyond_the_end_is_no_gap),
        FLOW_TEST(bytes_passed_through_count_as_received),
        FLOW_TEST(a_quarter_of_the_sender_s_window_is_worth_telling),
        FLOW_TEST(a_sender_that_had_more_under_way_is_wide),
        FLOW_TEST(a_window_can_be_widened),
        FLOW_TEST(without_memory_nothing_is_taken),
        FLOW_TEST(a_stream_arrives_whole_over_a_bad_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
