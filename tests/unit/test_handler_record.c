/* fcgi-handler/record.c: what of a FastCGI request is in a buffer. */
#include "record.h"
#include "support.h"

#include <string.h>

/* BEGIN, PARAMS "A=bc", end of PARAMS, STDIN "xyz", end of STDIN. */
static const uint8_t request[] = {1, 1, 0, 1, 0, 8, 0,   0,   0,   1,   0,   0, 0, 0, 0, 0, 1, 4, 0, 1,
                                  0, 5, 3, 0, 1, 2, 'A', 'b', 'c', 0,   0,   0, 1, 4, 0, 1, 0, 0, 0, 0,
                                  1, 5, 0, 1, 0, 3, 0,   0,   'x', 'y', 'z', 1, 5, 0, 1, 0, 0, 0, 0};
enum { HEAD_SIZE = 40 };

static void every_prefix_is_told_right(void **state) {
    (void)state;
    for (size_t length = 0; length <= sizeof request; length++) {
        enum request_presence wanted = length < HEAD_SIZE        ? REQUEST_PARTIAL
                                       : length < sizeof request ? REQUEST_HEAD
                                                                 : REQUEST_WHOLE;
        assert_int_equal(record_presence(request, length), wanted);
    }
}

static void refuses_with(size_t at, uint8_t value) {
    uint8_t changed[sizeof request];
    memcpy(changed, request, sizeof request);
    changed[at] = value;
    assert_int_equal(record_presence(changed, sizeof changed), REQUEST_MALFORMED);
}

static void what_no_web_server_sends_is_refused(void **state) {
    (void)state;
    refuses_with(0, 2);  /* version */
    refuses_with(1, 4);  /* PARAMS first */
    refuses_with(1, 9);  /* GET_VALUES first: its answer overflows a buffer of libfcgi's */
    refuses_with(3, 0);  /* request id 0 */
    refuses_with(19, 0); /* a management record in between */
    refuses_with(19, 2); /* another request: multiplexing */
    refuses_with(17, 5); /* STDIN before the end of PARAMS */
    refuses_with(41, 4); /* PARAMS after their end */
    refuses_with(40, 0); /* version of a later record */
}

static void the_end_of_a_body_is_known(void **state) {
    (void)state;
    uint8_t header[RECORD_HEADER] = {1, 5, 0, 1, 0, 0, 0, 0};
    assert_true(record_is_empty_stdin(header, 1));
    header[5] = 1;
    assert_false(record_is_empty_stdin(header, 1));
    header[5] = 0;
    header[6] = 8;
    assert_false(record_is_empty_stdin(header, 1));
}

static void a_record_of_the_body_tells_its_length(void **state) {
    (void)state;
    size_t length;
    uint8_t header[RECORD_HEADER] = {1, 5, 0, 1, 0x12, 0x34, 7, 0};
    assert_true(record_is_stdin(header, 1, &length));
    assert_int_equal(length, 0x1234);
    header[1] = 4; /* PARAMS */
    assert_false(record_is_stdin(header, 1, &length));
    header[1] = 5;
    assert_false(record_is_stdin(header, 2, &length)); /* of another request */
    header[0] = 2;                                     /* another version */
    assert_false(record_is_stdin(header, 1, &length));
}

/* What is left of a request (STDIN "xyz" with padding, its end) with the next one behind it, cut into two pieces at every place. */
static void the_rest_of_a_request_is_passed_over_and_nothing_of_the_next(void **state) {
    (void)state;
    static const uint8_t rest[] = {1, 5, 0, 1, 0, 3, 2, 0, 'x', 'y', 'z', 0, 0, 1, 5, 0, 1, 0, 0, 0, 0, /* the next: */ 1,
                                   1, 0, 1, 0, 8};
    enum { REST = 21 };
    for (size_t cut = 0; cut <= sizeof rest; cut++) {
        struct record_skip skip = {0};
        size_t used, more;
        enum record_skipped first = record_skip(&skip, rest, cut, &used);
        assert_int_equal(first, cut < REST ? RECORD_SKIP_MORE : RECORD_SKIP_OVER);
        assert_true(used <= cut);
        if (first == RECORD_SKIP_OVER) {
            assert_int_equal(used, REST);
            continue;
        }
        assert_int_equal(record_skip(&skip, rest + used, sizeof rest - used, &more), RECORD_SKIP_OVER);
        assert_int_equal(used + more, REST);
    }
}

static void a_header_begun_before_is_kept(void **state) {
    (void)state;
    static const uint8_t rest[] = {'z', 1, 5, 0, 1, 0, 0, 0, 0};
    for (size_t cut = 2; cut < sizeof rest; cut++) {
        struct record_skip skip = {.left = 1};
        size_t used;
        assert_int_equal(record_skip(&skip, rest, cut, &used), RECORD_SKIP_MORE);
        assert_int_equal(used, 1);
        record_skip_keep(&skip, rest + used, cut - used);
        assert_int_equal(record_skip(&skip, rest + cut, sizeof rest - cut, &used), RECORD_SKIP_OVER);
        assert_int_equal(used, sizeof rest - cut);
    }
}

static void a_request_that_begins_ends_the_one_before(void **state) {
    (void)state;
    static const uint8_t begin[] = {1, 1, 0, 1, 0, 8, 0, 0};
    struct record_skip skip = {0}, within = {0};
    size_t used;
    assert_int_equal(record_skip(&skip, begin, sizeof begin, &used), RECORD_SKIP_OVER);
    assert_int_equal(used, 0);
    record_skip_keep(&within, begin, 3); /* that came before the response was out: it cannot be one */
    assert_int_equal(record_skip(&within, begin + 3, sizeof begin - 3, &used), RECORD_SKIP_BAD);
}

static void what_is_neither_is_told(void **state) {
    (void)state;
    static const uint8_t abort_request[] = {1, 2, 0, 1, 0, 0, 0, 0}, version_2[] = {2, 5, 0, 1, 0, 0, 0, 0};
    size_t used;
    assert_int_equal(record_skip(&(struct record_skip){0}, abort_request, 8, &used), RECORD_SKIP_BAD);
    assert_int_equal(record_skip(&(struct record_skip){0}, version_2, 8, &used), RECORD_SKIP_BAD);
}

static void a_header_is_written(void **state) {
    (void)state;
    const uint8_t wanted[RECORD_HEADER] = {1, RECORD_STDOUT, 0x12, 0x34, 0xff, 0xf8, 0, 0};
    uint8_t header[RECORD_HEADER];
    record_put(header, RECORD_STDOUT, 0x1234, RECORD_CONTENT_MAX);
    assert_memory_equal(header, wanted, sizeof wanted);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_prefix_is_told_right),
        cmocka_unit_test(what_no_web_server_sends_is_refused),
        cmocka_unit_test(the_end_of_a_body_is_known),
        cmocka_unit_test(a_record_of_the_body_tells_its_length),
        cmocka_unit_test(the_rest_of_a_request_is_passed_over_and_nothing_of_the_next),
        cmocka_unit_test(a_header_begun_before_is_kept),
        cmocka_unit_test(a_request_that_begins_ends_the_one_before),
        cmocka_unit_test(what_is_neither_is_told),
        cmocka_unit_test(a_header_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
