#include "support.h"

#include "metrics.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

static void a_text_of_one_byte_is_empty_and_ends(void **state) {
    (void)state;
    char data[1] = {'x'};
    struct pg_text text = pg_text_in(data, sizeof data);
    assert_string_equal(data, "");
    pg_text_add(&text, "%s", "");
    pg_text_add_bytes(&text, "", 0);
    assert_false(text.cut);
    pg_text_add_bytes(&text, "a", 1);
    assert_true(text.cut);
    text.cut = false;
    pg_text_add(&text, "%d", 7);
    assert_true(text.cut);
    assert_string_equal(data, "");
    assert_int_equal(text.length, 0);
}

static void what_just_fits_is_added_and_one_more_is_left_out_whole(void **state) {
    (void)state;
    char *data = exact_copy("xxxxxx", 6);
    struct pg_text text = pg_text_in(data, 6);
    pg_text_add(&text, "%s", "ab");
    pg_text_add_bytes(&text, "cde", 3);
    assert_false(text.cut);
    assert_string_equal(data, "abcde");
    text = pg_text_in(data, 6);
    pg_text_add(&text, "%s", "ab");
    pg_text_add_bytes(&text, "cdef", 4);
    assert_true(text.cut);
    assert_string_equal(data, "ab");
    text.cut = false;
    pg_text_add(&text, "%s", "cdef");
    assert_true(text.cut);
    assert_string_equal(data, "ab");
    assert_int_equal(text.length, 2);
    pg_text_add(&text, "%s", "cde"); /* what fits may still follow; `cut` tells of the hole */
    assert_true(text.cut);
    assert_string_equal(data, "abcde");
    free(data);
}

static void bytes_may_hold_a_nul(void **state) {
    (void)state;
    char data[16];
    struct pg_text text = pg_text_in(data, sizeof data);
    pg_text_add_bytes(&text, "a\0b", 3);
    assert_int_equal(text.length, 3);
    assert_memory_equal(data, "a\0b\0", 4);
}

static void html_names_the_five_and_passes_the_rest(void **state) {
    (void)state;
    char data[128];
    static const char hostile[] = "<script>\"&'</x>\xc3\xa9\x01";
    struct pg_text text = pg_text_in(data, sizeof data);
    pg_text_add_html(&text, hostile, sizeof hostile - 1);
    assert_false(text.cut);
    assert_string_equal(data, "&lt;script&gt;&quot;&amp;&#39;&lt;/x&gt;\xc3\xa9\x01");
}

/* All or nothing: no half entity, and no text with a hole in it that reads as another one. */
static void html_that_does_not_fit_is_left_out_whole(void **state) {
    (void)state;
    static const char wanted[] = "x&lt;&amp;y";
    for (size_t size = 1; size <= sizeof wanted + 1; size++) {
        char *data = exact_copy("................", size);
        struct pg_text text = pg_text_in(data, size);
        pg_text_add_html(&text, "x<&y", 4);
        assert_int_equal(text.cut, size < sizeof wanted);
        assert_string_equal(data, text.cut ? "" : wanted);
        assert_int_equal(text.length, strlen(data));
        free(data);
    }
}

static void html_does_not_forget_an_earlier_cut(void **state) {
    (void)state;
    char data[8];
    struct pg_text text = pg_text_in(data, sizeof data);
    pg_text_add(&text, "%s", "much too long");
    pg_text_add_html(&text, "a", 1);
    assert_true(text.cut);
    assert_string_equal(data, "a");
}

static void counters_and_gauges_have_their_heading(void **state) {
    (void)state;
    char data[512];
    struct pg_text text = pg_text_in(data, sizeof data);
    pg_metrics_counter(&text, "pg_requests_total", "Requests.", UINT64_MAX);
    pg_metrics_gauge(&text, "pg_in_flight", "In flight.", 0);
    pg_metrics_counter_head(&text, "pg_outcomes_total", "By outcome.");
    pg_metrics_counter_line(&text, "pg_outcomes_total", "outcome", "ok", 3);
    pg_metrics_counter_line(&text, "pg_outcomes_total", "outcome", "timeout", 0);
    assert_false(text.cut);
    assert_string_equal(data, "# HELP pg_requests_total Requests.\n# TYPE pg_requests_total counter\n"
                              "pg_requests_total 18446744073709551615\n"
                              "# HELP pg_in_flight In flight.\n# TYPE pg_in_flight gauge\npg_in_flight 0\n"
                              "# HELP pg_outcomes_total By outcome.\n# TYPE pg_outcomes_total counter\n"
                              "pg_outcomes_total{outcome=\"ok\"} 3\npg_outcomes_total{outcome=\"timeout\"} 0\n");
}

static void a_latency_counts_in_the_bucket_whose_bound_it_reaches(void **state) {
    (void)state;
    static const uint64_t bounds_us[PG_HISTOGRAM_BUCKETS] = {500,    1000,   2500,   5000,    10000,   25000,    50000,
                                                             100000, 250000, 500000, 1000000, 2500000, 10000000, 60000000};
    for (size_t i = 0; i < PG_HISTOGRAM_BUCKETS; i++) {
        struct pg_histogram histogram = {0};
        pg_histogram_observe(&histogram, bounds_us[i]);
        assert_int_equal(histogram.buckets[i], 1);
        pg_histogram_observe(&histogram, bounds_us[i] + 1);
        assert_int_equal(histogram.buckets[i + 1], 1);
        assert_int_equal(histogram.count, 2);
        assert_int_equal(histogram.sum_us, 2 * bounds_us[i] + 1);
    }
    struct pg_histogram histogram = {0};
    pg_histogram_observe(&histogram, 0);
    pg_histogram_observe(&histogram, UINT64_MAX / 2);
    assert_int_equal(histogram.buckets[0], 1);
    assert_int_equal(histogram.buckets[PG_HISTOGRAM_BUCKETS], 1);
}

static void a_histogram_is_cumulative_and_closes_with_all(void **state) {
    (void)state;
    char data[2048];
    struct pg_text text = pg_text_in(data, sizeof data);
    struct pg_histogram histogram = {0};
    static const uint64_t seen[] = {400, 500, 501, 99999, 61000000};
    for (size_t i = 0; i < COUNT_OF(seen); i++) pg_histogram_observe(&histogram, seen[i]);
    pg_metrics_histogram(&text, "pg_s", "Latency.", &histogram);
    assert_string_equal(data, "# HELP pg_s Latency.\n# TYPE pg_s histogram\n"
                              "pg_s_bucket{le=\"0.0005\"} 2\npg_s_bucket{le=\"0.001\"} 3\npg_s_bucket{le=\"0.0025\"} 3\n"
                              "pg_s_bucket{le=\"0.005\"} 3\npg_s_bucket{le=\"0.01\"} 3\npg_s_bucket{le=\"0.025\"} 3\n"
                              "pg_s_bucket{le=\"0.05\"} 3\npg_s_bucket{le=\"0.1\"} 4\npg_s_bucket{le=\"0.25\"} 4\n"
                              "pg_s_bucket{le=\"0.5\"} 4\npg_s_bucket{le=\"1\"} 4\npg_s_bucket{le=\"2.5\"} 4\n"
                              "pg_s_bucket{le=\"10\"} 4\npg_s_bucket{le=\"60\"} 4\npg_s_bucket{le=\"+Inf\"} 5\n"
                              "pg_s_sum 61.101400\npg_s_count 5\n");
}

static void metrics_that_do_not_fit_lose_whole_lines(void **state) {
    (void)state;
    for (size_t size = 1; size < 200; size++) {
        char *data = malloc(size);
        struct pg_text text = pg_text_in(data, size);
        pg_metrics_counter(&text, "pg_a_total", "A.", 1);
        pg_metrics_gauge(&text, "pg_b", "B.", 2);
        assert_true(text.length == 0 || data[text.length - 1] == '\n');
        assert_int_equal(data[text.length], '\0');
        free(data);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_of_one_byte_is_empty_and_ends),
        cmocka_unit_test(what_just_fits_is_added_and_one_more_is_left_out_whole),
        cmocka_unit_test(bytes_may_hold_a_nul),
        cmocka_unit_test(html_names_the_five_and_passes_the_rest),
        cmocka_unit_test(html_that_does_not_fit_is_left_out_whole),
        cmocka_unit_test(html_does_not_forget_an_earlier_cut),
        cmocka_unit_test(counters_and_gauges_have_their_heading),
        cmocka_unit_test(a_latency_counts_in_the_bucket_whose_bound_it_reaches),
        cmocka_unit_test(a_histogram_is_cumulative_and_closes_with_all),
        cmocka_unit_test(metrics_that_do_not_fit_lose_whole_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
