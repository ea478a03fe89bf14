/* The payloads of OPEN, HEAD, ATTACHED and RESET, and field lists. */
#include "support.h"

#include "bytes.h"
#include "samples.h"
#include "wire.h"

#include <stdlib.h>
#include <string.h>

static const char *const open_fields = "OPEN: fields do not fill the head";
static const char *const open_text = "OPEN: text longer than the head";
static const char *const open_range = "OPEN: head length out of range";
static const char *const head_range = "HEAD: head length out of range";
static const char *const head_fields = "HEAD: fields do not fill the head";

/* Where things stand in the sample OPEN: see samples.c. */
enum { OPEN_HEAD = 71, HEAD_HEAD = 23 };

static struct sample sample;
static struct pg_frame frame;
static struct pg_open open_;
static struct pg_head head;

static void assert_sentence(const char *said, const char *wanted) {
    if (!wanted) {
        if (said) fail_msg("refused: %s", said);
        return;
    }
    if (!said) fail_msg("taken instead of: %s", wanted);
    assert_string_equal(said, wanted);
}

static void assert_open_says(const char *wanted) {
    assert_null(sample_decode(&sample, &frame));
    assert_sentence(pg_open_decode(&frame, &open_), wanted);
}

static void assert_head_says(const char *wanted) {
    assert_null(sample_decode(&sample, &frame));
    assert_sentence(pg_head_decode(&frame, &head), wanted);
}

static uint8_t *payload(size_t at) {
    return sample.bytes + PG_FRAME_HEADER + at;
}

/* Reads every byte of every field, so that the address sanitizer looks at each. */
static unsigned walk(struct pg_fields fields) {
    struct pg_field field;
    unsigned sum = 0;
    while (pg_fields_next(&fields, &field)) {
        for (size_t i = 0; i < field.name_length; i++) sum += (unsigned char)field.name[i];
        for (size_t i = 0; i < field.value_length; i++) sum += (unsigned char)field.value[i];
    }
    return sum;
}

static void an_open_is_read_as_the_document_says(void **state) {
    (void)state;
    struct pg_field field;
    sample_typical(&sample, PG_OPEN);
    assert_open_says(NULL);
    assert_int_equal(open_.deadline_unix_ms, 0x0000019900000007);
    assert_int_equal(open_.body_length, 3);
    assert_int_equal(open_.first_byte_timeout_ms, 300000);
    assert_int_equal(open_.method_length, 4);
    assert_memory_equal(open_.method, "POST", 4);
    assert_int_equal(open_.target_length, 4);
    assert_memory_equal(open_.target, "/a?b", 4);
    assert_int_equal(open_.visitor_length, 1);
    assert_memory_equal(open_.visitor, "v", 1);
    assert_int_equal(open_.body_bytes, 3);
    assert_memory_equal(open_.body, "xyz", 3);
    assert_true(pg_fields_next(&open_.fields, &field));
    assert_int_equal(field.name_length, 4);
    assert_memory_equal(field.name, "Host", 4);
    assert_int_equal(field.value_length, 9);
    assert_memory_equal(field.value, "localhost", 9);
    assert_true(pg_fields_next(&open_.fields, &field));
    assert_int_equal(field.name_length, 1);
    assert_int_equal(field.value_length, 0);
    assert_false(pg_fields_next(&open_.fields, &field));
    assert_false(pg_fields_next(&open_.fields, &field));
}

static void an_open_is_written_as_the_document_says(void **state) {
    (void)state;
    static const struct pg_field fields[] = {{"Host", "localhost", 4, 9}, {"X", NULL, 1, 0}};
    struct pg_open given = {.deadline_unix_ms = 0x0000019900000007,
                            .body_length = 3,
                            .first_byte_timeout_ms = 300000,
                            .method = "POST",
                            .method_length = 4,
                            .target = "/a?b",
                            .target_length = 4,
                            .visitor = "v",
                            .visitor_length = 1};
    sample_typical(&sample, PG_OPEN);
    size_t size = pg_open_size(&given, fields, 2);
    assert_int_equal(size, OPEN_HEAD);
    uint8_t *to = malloc(size);
    memset(to, 0xff, size);
    pg_open_put(to, &given, fields, 2);
    assert_memory_equal(to, payload(0), size);
    free(to);
    assert_int_equal(pg_fields_size(fields, 2), 19 + 7);
    assert_int_equal(pg_fields_size(NULL, 0), 0);
}

/* The frame says it is shorter: wrong until the head is whole, then the body is. */
static void an_open_cut_at_any_byte_is_wrong_up_to_the_body(void **state) {
    (void)state;
    sample_typical(&sample, PG_OPEN);
    for (size_t length = 38; length <= OPEN_HEAD + 3; length++) {
        sample_set_payload_length(&sample, length);
        assert_open_says(length < OPEN_HEAD ? open_range : NULL);
        if (length >= OPEN_HEAD) assert_int_equal(open_.body_bytes, length - OPEN_HEAD);
    }
}

/* The head says so too: then its inside is what does not fit. */
static void an_open_whose_head_is_cut_at_any_byte_is_wrong(void **state) {
    (void)state;
    for (size_t length = 38; length < OPEN_HEAD; length++) {
        sample_typical(&sample, PG_OPEN);
        sample_set_payload_length(&sample, length);
        pg_put_u32(payload(20), (uint32_t)length);
        assert_open_says(length < 36 + 9 ? open_text : open_fields);
    }
}

static void an_open_s_head_length_has_its_range(void **state) {
    (void)state;
    static const struct {
        uint32_t length;
        const char *wanted;
    } table[] = {{0, "OPEN: head length out of range"},
                 {35, "OPEN: head length out of range"},
                 {36, "OPEN: text longer than the head"},
                 {OPEN_HEAD - 1, "OPEN: fields do not fill the head"},
                 {OPEN_HEAD, NULL},
                 {OPEN_HEAD + 1, "OPEN: fields do not fill the head"},
                 {OPEN_HEAD + 3, "OPEN: fields do not fill the head"},
                 {OPEN_HEAD + 4, "OPEN: head length out of range"},
                 {UINT32_MAX, "OPEN: head length out of range"}};
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        sample_typical(&sample, PG_OPEN);
        pg_put_u32(payload(20), table[i].length);
        assert_open_says(table[i].wanted);
    }
}

static void an_open_has_a_method_and_a_target(void **state) {
    (void)state;
    static const char *const wanted = "OPEN: no method or no target";
    sample_typical(&sample, PG_OPEN);
    pg_put_u16(payload(24), 0);
    assert_open_says(wanted);
    sample_typical(&sample, PG_OPEN);
    pg_put_u32(payload(28), 0);
    assert_open_says(wanted);
    /* The smallest there is: one byte each, no visitor, no field, no body. */
    sample_make(&sample, PG_OPEN, PG_END, NULL, 38);
    pg_put_u32(payload(20), 38);
    pg_put_u16(payload(24), 1);
    pg_put_u32(payload(28), 1);
    memcpy(payload(36), "G/", 2);
    assert_open_says(NULL);
    assert_int_equal(open_.visitor_length, 0);
    assert_int_equal(open_.body_bytes, 0);
    assert_int_equal(walk(open_.fields), 0);
}

static void an_open_s_text_stays_inside_the_head(void **state) {
    (void)state;
    static const uint32_t targets[] = {OPEN_HEAD - 36 - 4, OPEN_HEAD, 0x10000, 0x7fffffff, UINT32_MAX, UINT32_MAX - 4};
    static const uint16_t shorts[] = {OPEN_HEAD - 36 - 7, 0x7fff, 0xffff};
    for (size_t i = 0; i < COUNT_OF(targets); i++) {
        sample_typical(&sample, PG_OPEN);
        pg_put_u32(payload(28), targets[i]);
        assert_open_says(open_text);
    }
    for (size_t i = 0; i < COUNT_OF(shorts); i++) {
        sample_typical(&sample, PG_OPEN);
        pg_put_u16(payload(32), shorts[i]); /* visitor */
        assert_open_says(open_text);
        sample_typical(&sample, PG_OPEN);
        pg_put_u16(payload(24), (uint16_t)(shorts[i] + 3 < 0xffff ? shorts[i] + 3 : 0xffff)); /* method */
        assert_open_says(open_text);
    }
    /* All of the head, but no byte for the fields that are counted. */
    sample_typical(&sample, PG_OPEN);
    pg_put_u16(payload(32), OPEN_HEAD - 36 - 8);
    assert_open_says(open_fields);
    pg_put_u16(payload(26), 0);
    assert_open_says(NULL);
}

static void an_open_s_unused_bytes_are_zero(void **state) {
    (void)state;
    for (size_t bit = 0; bit < 16; bit++) {
        sample_typical(&sample, PG_OPEN);
        pg_put_u16(payload(34), (uint16_t)(1u << bit));
        assert_open_says("OPEN: unused bytes set");
    }
}

static void field_lists_fill_the_head_exactly(void **state) {
    (void)state;
    static const uint16_t counts[] = {0, 1, 3, 4, 0xffff};
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        sample_typical(&sample, PG_OPEN);
        pg_put_u16(payload(26), counts[i]);
        assert_open_says(open_fields);
    }
    static const uint16_t names[] = {0, 3, 5, 6 + 4 + 9 + 1 + 7, 0xffff};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        sample_typical(&sample, PG_OPEN);
        pg_put_u16(payload(45), names[i]);
        assert_open_says(open_fields);
    }
    static const uint32_t values[] = {0, 8, 10, 17, 0x10009, 0x7fffffff, UINT32_MAX, UINT32_MAX - 3};
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        sample_typical(&sample, PG_OPEN);
        pg_put_u32(payload(47), values[i]);
        assert_open_says(open_fields);
    }
    /* The last field, whose value is empty, takes a byte of the body. */
    sample_typical(&sample, PG_OPEN);
    pg_put_u32(payload(66), 1);
    assert_open_says(open_fields);
    /* A whole field's size moved from one to the other still fills the head. */
    sample_typical(&sample, PG_OPEN);
    pg_put_u32(payload(47), 9 + 7);
    pg_put_u16(payload(26), 1);
    assert_open_says(NULL);
    walk(open_.fields);
}

/* As many empty fields as the largest head holds, and one more. */
static void a_head_of_the_largest_size_is_taken_and_one_more_byte_is_not(void **state) {
    (void)state;
    enum { FIELDS = (PG_HEAD_MAX - 38) / 6, REST = (PG_HEAD_MAX - 38) % 6 };
    sample_make(&sample, PG_OPEN, 0, NULL, PG_DATA_MAX);
    pg_put_u32(payload(20), PG_HEAD_MAX);
    pg_put_u16(payload(24), 1);
    pg_put_u16(payload(26), FIELDS);
    pg_put_u32(payload(28), 1 + REST);
    assert_open_says(NULL);
    assert_int_equal(open_.fields.left, FIELDS);
    assert_int_equal(walk(open_.fields), 0);
    assert_int_equal(open_.body_bytes, PG_DATA_MAX - PG_HEAD_MAX);
    pg_put_u32(payload(20), PG_HEAD_MAX + 1);
    pg_put_u32(payload(28), 2 + REST);
    assert_open_says(open_range);
    sample_make(&sample, PG_HEAD, 0, NULL, PG_DATA_MAX);
    pg_put_u16(payload(0), 200);
    pg_put_u16(payload(2), 1);
    pg_put_u32(payload(4), PG_HEAD_MAX);
    pg_put_u32(payload(10), PG_HEAD_MAX - 14);
    assert_head_says(NULL);
    pg_put_u32(payload(4), PG_HEAD_MAX + 1);
    pg_put_u32(payload(10), PG_HEAD_MAX - 13);
    assert_head_says(head_range);
}

static void a_head_is_read_and_written_as_the_document_says(void **state) {
    (void)state;
    static const struct pg_field fields[] = {{"Set-Ck", "a=b", 6, 3}};
    struct pg_head given = {.status = 200};
    struct pg_field field;
    sample_typical(&sample, PG_HEAD);
    assert_head_says(NULL);
    assert_int_equal(head.status, 200);
    assert_int_equal(head.body_bytes, 2);
    assert_memory_equal(head.body, "ok", 2);
    assert_true(pg_fields_next(&head.fields, &field));
    assert_memory_equal(field.name, "Set-Ck", 6);
    assert_int_equal(field.value_length, 3);
    assert_memory_equal(field.value, "a=b", 3);
    assert_false(pg_fields_next(&head.fields, &field));
    assert_int_equal(pg_head_size(fields, 1), HEAD_HEAD);
    uint8_t *to = malloc(HEAD_HEAD);
    memset(to, 0xff, HEAD_HEAD);
    pg_head_put(to, &given, fields, 1);
    assert_memory_equal(to, payload(0), HEAD_HEAD);
    free(to);
}

static void a_head_has_a_final_status(void **state) {
    (void)state;
    static const uint16_t bad[] = {0, 1, 100, 101, 199, 600, 999, 0xffff};
    for (uint16_t status = 200; status < 600; status++) {
        sample_typical(&sample, PG_HEAD);
        pg_put_u16(payload(0), status);
        assert_head_says(NULL);
        assert_int_equal(head.status, status);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        pg_put_u16(payload(0), bad[i]);
        assert_head_says("HEAD: status out of range");
    }
}

static void a_head_cut_at_any_byte_is_wrong_up_to_the_body(void **state) {
    (void)state;
    sample_typical(&sample, PG_HEAD);
    for (size_t length = 8; length <= HEAD_HEAD + 2; length++) {
        sample_set_payload_length(&sample, length);
        assert_head_says(length < HEAD_HEAD ? head_range : NULL);
        if (length >= HEAD_HEAD) assert_int_equal(head.body_bytes, length - HEAD_HEAD);
    }
    for (size_t length = 8; length < HEAD_HEAD; length++) {
        sample_set_payload_length(&sample, length);
        pg_put_u32(payload(4), (uint32_t)length);
        assert_head_says(head_fields);
    }
}

static void a_head_s_inside_fits(void **state) {
    (void)state;
    static const uint32_t ranges[] = {0, 7, HEAD_HEAD + 3, PG_HEAD_MAX + 1, UINT32_MAX};
    static const uint16_t counts[] = {0, 2, 0xffff};
    for (size_t i = 0; i < COUNT_OF(ranges); i++) {
        sample_typical(&sample, PG_HEAD);
        pg_put_u32(payload(4), ranges[i]);
        assert_head_says(head_range);
    }
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        sample_typical(&sample, PG_HEAD);
        pg_put_u16(payload(2), counts[i]);
        assert_head_says(head_fields);
    }
    sample_typical(&sample, PG_HEAD);
    pg_put_u32(payload(4), HEAD_HEAD + 1); /* a byte behind the fields that is no field */
    assert_head_says(head_fields);
    sample_make(&sample, PG_HEAD, PG_END, "\x00\xcc\x00\x00\x00\x00\x00\x08", 8); /* 204 and nothing else */
    assert_head_says(NULL);
    assert_int_equal(head.body_bytes, 0);
    assert_int_equal(walk(head.fields), 0);
}

static void attached_is_read_and_written(void **state) {
    (void)state;
    struct pg_attached attached;
    sample_typical(&sample, PG_ATTACHED);
    assert_null(sample_decode(&sample, &frame));
    assert_null(pg_attached_decode(&frame, &attached));
    assert_int_equal(attached.session, 7);
    assert_int_equal(attached.window, PG_WINDOW);
    assert_int_equal(attached.max_frame, PG_FRAME_MAX);
    assert_int_equal(attached.url_length, 22);
    assert_memory_equal(attached.url, "https://example.com/x/", 22);
    uint8_t to[16 + PG_URL_MAX];
    assert_int_equal(pg_attached_put(to, &attached), frame.length);
    assert_memory_equal(to, payload(0), frame.length);
    for (size_t length = 16; length < 38; length++) { /* the URL may be any length, and empty */
        sample_set_payload_length(&sample, length);
        assert_null(sample_decode(&sample, &frame));
        assert_null(pg_attached_decode(&frame, &attached));
        assert_int_equal(attached.url_length, length - 16);
    }
    attached = (struct pg_attached){0};
    assert_int_equal(pg_attached_put(to, &attached), 16);
}

static void a_longer_url_is_cut(void **state) {
    (void)state;
    char url[PG_URL_MAX + 2];
    memset(url, 'u', sizeof url);
    uint8_t *to = malloc(16 + PG_URL_MAX);
    for (size_t length = PG_URL_MAX - 1; length <= sizeof url; length++) {
        struct pg_attached attached = {.url = url, .url_length = length};
        assert_int_equal(pg_attached_put(to, &attached), 16 + (length < PG_URL_MAX ? length : PG_URL_MAX));
    }
    free(to);
}

static void a_reset_has_a_known_reason_and_a_sentence(void **state) {
    (void)state;
    struct pg_reset reset;
    for (unsigned reason = 0; reason < 65536; reason += reason < 12 ? 1 : 4093) {
        sample_typical(&sample, PG_RESET);
        pg_put_u16(payload(0), (uint16_t)reason);
        assert_null(sample_decode(&sample, &frame));
        assert_sentence(pg_reset_decode(&frame, &reset), reason >= 1 && reason <= 9 ? NULL : "RESET: unknown reason");
        if (reason >= 1 && reason <= 9) assert_int_equal(reset.reason, reason);
    }
    for (size_t length = 2; length <= 24; length++) {
        sample_typical(&sample, PG_RESET);
        sample_set_payload_length(&sample, length);
        assert_null(sample_decode(&sample, &frame));
        assert_null(pg_reset_decode(&frame, &reset));
        assert_int_equal(reset.sentence_length, length - 2);
        assert_memory_equal(reset.sentence, "the response broke off", length - 2);
    }
}

static void a_reset_is_written_and_a_longer_sentence_is_cut(void **state) {
    (void)state;
    char *sentence = malloc(PG_REASON_MAX + 2);
    uint8_t *to = malloc(2 + PG_REASON_MAX);
    sample_typical(&sample, PG_RESET);
    assert_int_equal(pg_reset_put(to, PG_BROKEN, "the response broke off"), 24);
    assert_memory_equal(to, payload(0), 24);
    assert_int_equal(pg_reset_put(to, PG_GONE, ""), 2);
    memset(sentence, 's', PG_REASON_MAX + 2);
    for (size_t length = PG_REASON_MAX - 1; length <= PG_REASON_MAX + 1; length++) {
        sentence[length] = '\0';
        assert_int_equal(pg_reset_put(to, PG_GONE, sentence), 2 + (length < PG_REASON_MAX ? length : PG_REASON_MAX));
        sentence[length] = 's';
    }
    free(sentence);
    free(to);
}

/* Any one byte of a valid payload replaced by each of a few values: a decoder may refuse it or not, but what it takes
 * lies inside the frame (the address sanitizer looks) and is written again as the same bytes. */
static void a_changed_byte_is_refused_or_read_inside_the_frame(void **state) {
    (void)state;
    static const uint8_t values[] = {0, 1, 2, 0x10, 0x7f, 0x80, 0xff};
    struct pg_field fields[16];
    for (size_t at = 0; at < OPEN_HEAD; at++) {
        for (size_t i = 0; i < sizeof values; i++) {
            sample_typical(&sample, PG_OPEN);
            *payload(at) = values[i];
            assert_null(sample_decode(&sample, &frame));
            if (pg_open_decode(&frame, &open_)) continue;
            size_t count = 0;
            struct pg_fields list = open_.fields;
            while (count < COUNT_OF(fields) && pg_fields_next(&list, &fields[count])) count++;
            uint8_t back[OPEN_HEAD];
            assert_int_equal(pg_open_size(&open_, fields, count), OPEN_HEAD);
            pg_open_put(back, &open_, fields, count);
            assert_memory_equal(back, payload(0), sizeof back);
        }
    }
}

static int teardown(void **state) {
    (void)state;
    sample_done();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_open_is_read_as_the_document_says),
        cmocka_unit_test(an_open_is_written_as_the_document_says),
        cmocka_unit_test(an_open_cut_at_any_byte_is_wrong_up_to_the_body),
        cmocka_unit_test(an_open_whose_head_is_cut_at_any_byte_is_wrong),
        cmocka_unit_test(an_open_s_head_length_has_its_range),
        cmocka_unit_test(an_open_has_a_method_and_a_target),
        cmocka_unit_test(an_open_s_text_stays_inside_the_head),
        cmocka_unit_test(an_open_s_unused_bytes_are_zero),
        cmocka_unit_test(field_lists_fill_the_head_exactly),
        cmocka_unit_test(a_head_of_the_largest_size_is_taken_and_one_more_byte_is_not),
        cmocka_unit_test(a_head_is_read_and_written_as_the_document_says),
        cmocka_unit_test(a_head_has_a_final_status),
        cmocka_unit_test(a_head_cut_at_any_byte_is_wrong_up_to_the_body),
        cmocka_unit_test(a_head_s_inside_fits),
        cmocka_unit_test(attached_is_read_and_written),
        cmocka_unit_test(a_longer_url_is_cut),
        cmocka_unit_test(a_reset_has_a_known_reason_and_a_sentence),
        cmocka_unit_test(a_reset_is_written_and_a_longer_sentence_is_cut),
        cmocka_unit_test(a_changed_byte_is_refused_or_read_inside_the_frame),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
