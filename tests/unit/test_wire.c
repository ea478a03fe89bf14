/* The frame's header, ACK entries, the envelope and control messages. The payloads of OPEN, HEAD, ATTACHED and RESET
 * are in test_wire_payload.c. */
#include "support.h"

#include "samples.h"
#include "wire.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const too_short = "shorter than a header";
static const char *const too_long = "longer than a frame may be";
static const char *const differs = "length differs from what follows";
static const char *const not_allowed = "length not allowed for the type";
static const char *const bad_flag = "flag not defined for the type";
static const char *const bad_exchange = "exchange set where none belongs, or missing";
static const char *const bad_handler = "handler set where none belongs, or missing";

static struct sample sample;
static struct pg_frame frame;

static void assert_says(const char *wanted) {
    const char *said = sample_decode(&sample, &frame);
    if (!wanted) {
        if (said) fail_msg("type %d was refused: %s", sample.bytes[1], said);
        return;
    }
    if (!said) fail_msg("type %d was taken instead of: %s", sample.bytes[1], wanted);
    assert_string_equal(said, wanted);
}

static void the_limits_are_those_of_the_document(void **state) {
    (void)state;
    assert_int_equal(PG_FRAME_MAX, 65360);
    assert_int_equal(PG_DATA_MAX, 65312);
    assert_int_equal(PG_HEAD_MAX, 49152);
    assert_int_equal(PG_WINDOW, 1048576);
    assert_int_equal(PG_WINDOW_FIRST, 262144);
    assert_int_equal(PG_ACK_MAX, 1024);
    assert_int_equal(PG_REASON_MAX, 512);
    assert_int_equal(PG_URL_MAX, 2048);
    assert_true(PG_MESSAGE_MAX <= 65400);
}

static void a_typical_frame_of_each_type_is_taken(void **state) {
    (void)state;
    for (int type = PG_ATTACHED; type <= PG_RESET; type++) {
        sample_typical(&sample, (enum pg_type)type);
        assert_says(NULL);
        assert_int_equal(frame.type, type);
        assert_int_equal(frame.length, sample.length - 48);
        assert_memory_equal(frame.payload, sample.bytes + 48, frame.length);
        assert_int_equal(frame.offset, sample_has_offset(frame.type) ? 768 : 0);
        assert_memory_equal(frame.exchange.bytes, sample.bytes + 16, 16);
        assert_memory_equal(frame.handler.bytes, sample.bytes + 32, 16);
        uint8_t header[PG_FRAME_HEADER];
        pg_frame_put(header, &frame);
        assert_memory_equal(header, sample.bytes, sizeof header);
    }
}

static void a_header_has_its_bytes_where_the_document_says(void **state) {
    (void)state;
    static const uint8_t wanted[] = "\x01\x08\x00\x34\x00\x00\x00\x10\x01\x02\x03\x04\x05\x06\x07\x08"
                                    "\xa0\xa1\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xab\xac\xad\xae\xaf\xb0\xb1\xb2\xb3"
                                    "\xb4\xb5\xb6\xb7\xb8\xb9\xba\xbb\xbc\xbd\xbe\xbf";
    struct pg_frame given = {
        .type = PG_RESUME, .flags = PG_ANSWER | PG_HEAD_SEEN | PG_END_SEEN, .length = 16, .offset = 0x0102030405060708};
    uint8_t header[PG_FRAME_HEADER];
    for (uint8_t i = 0; i < 16; i++) {
        given.exchange.bytes[i] = (uint8_t)(0xa0 + i);
        given.handler.bytes[i] = (uint8_t)(0xb0 + i);
    }
    pg_frame_put(header, &given);
    assert_memory_equal(header, wanted, sizeof header);
}

static void only_version_1_is_taken(void **state) {
    (void)state;
    for (int version = 0; version < 256; version++) {
        sample_typical(&sample, PG_DATA);
        sample.bytes[0] = (uint8_t)version;
        assert_says(version == 1 ? NULL : "unknown version");
    }
}

static void an_unknown_type_is_an_error(void **state) {
    (void)state;
    for (int type = 0; type < 256; type++) {
        if (type >= 1 && type <= 9) continue;
        sample_typical(&sample, PG_DATA);
        sample.bytes[1] = (uint8_t)type;
        assert_says("unknown type");
    }
}

static void each_flag_bit_is_taken_only_where_it_is_defined(void **state) {
    (void)state;
    static const uint16_t allowed[] = {[PG_OPEN] = 0x03, [PG_HEAD] = 0x01, [PG_DATA] = 0x01, [PG_RESUME] = 0x3c, [PG_RESET] = 0};
    for (int type = PG_ATTACHED; type <= PG_RESET; type++) {
        for (int bit = 0; bit < 16; bit++) {
            sample_typical(&sample, (enum pg_type)type);
            sample.bytes[2] = (uint8_t)((1u << bit) >> 8);
            sample.bytes[3] = (uint8_t)(1u << bit);
            assert_says(allowed[type] & (1u << bit) ? NULL : bad_flag);
        }
        sample_typical(&sample, (enum pg_type)type);
        sample.bytes[3] = (uint8_t)allowed[type];
        assert_says(NULL);
    }
}

/* A frame that was cut, its header still promising the whole. */
static void a_frame_cut_at_any_byte_is_an_error(void **state) {
    (void)state;
    for (int type = PG_ATTACHED; type <= PG_RESET; type++) {
        sample_typical(&sample, (enum pg_type)type);
        size_t whole = sample.length;
        for (sample.length = 0; sample.length < whole; sample.length++) assert_says(sample.length < 48 ? too_short : differs);
        sample.length = whole + 1;
        assert_says(differs);
    }
}

static void the_length_must_be_exactly_what_follows(void **state) {
    (void)state;
    static const uint32_t off_by[] = {1, UINT32_MAX, 0x80000000, 0x00010000, 0x01000000, 48, (uint32_t)-48};
    for (size_t i = 0; i < COUNT_OF(off_by); i++) {
        sample_typical(&sample, PG_DATA);
        uint32_t length = 10 + off_by[i];
        for (int byte = 0; byte < 4; byte++) sample.bytes[4 + byte] = (uint8_t)(length >> (24 - 8 * byte));
        assert_says(differs);
    }
}

/* The payload of each type, from the shortest to the longest; DATA's shortest has its own test. */
static void each_type_has_its_lengths(void **state) {
    (void)state;
    static const struct {
        enum pg_type type;
        size_t min, max;
    } lengths[] = {{PG_ATTACHED, 16, 16 + 2048}, {PG_GOAWAY, 0, 0},   {PG_RESYNC, 0, 0},
                   {PG_OPEN, 38, 65312},         {PG_HEAD, 8, 65312}, {PG_DATA, 1, 65312},
                   {PG_ACK, 32, 32 * 1024},      {PG_RESUME, 16, 16}, {PG_RESET, 2, 514}};
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        sample_make(&sample, lengths[i].type, 0, NULL, lengths[i].min);
        assert_says(NULL);
        if (lengths[i].min && lengths[i].type != PG_DATA) {
            sample_set_payload_length(&sample, lengths[i].min - 1);
            assert_says(not_allowed);
        }
        sample_set_payload_length(&sample, lengths[i].max);
        assert_says(NULL);
        sample_set_payload_length(&sample, lengths[i].max + 1);
        assert_says(lengths[i].max == PG_DATA_MAX ? too_long : not_allowed);
    }
}

static void no_frame_is_longer_than_the_limit(void **state) {
    (void)state;
    sample_make(&sample, PG_DATA, 0, NULL, 65312);
    assert_int_equal(sample.length, 65360);
    assert_says(NULL);
    sample_set_payload_length(&sample, 65313);
    assert_says(too_long);
}

static void data_is_empty_only_with_end(void **state) {
    (void)state;
    sample_make(&sample, PG_DATA, PG_END, NULL, 0);
    assert_says(NULL);
    assert_int_equal(frame.length, 0);
    sample_make(&sample, PG_DATA, 0, NULL, 0);
    assert_says("empty DATA without END");
}

static void identifiers_stand_where_they_belong_and_nowhere_else(void **state) {
    (void)state;
    for (int number = PG_ATTACHED; number <= PG_RESET; number++) {
        enum pg_type type = (enum pg_type)number;
        for (size_t at = 0; at < 16; at++) {
            sample_typical(&sample, type);
            memset(sample.bytes + 16, 0, 16);
            if (!sample_has_exchange(type)) sample.bytes[16 + at] = 0x80;
            assert_says(bad_exchange);
            sample_typical(&sample, type);
            memset(sample.bytes + 32, 0, 16);
            if (!sample_has_handler(type)) sample.bytes[32 + at] = 0x01;
            assert_says(bad_handler);
            /* One byte that is not zero is an identifier. */
            sample_typical(&sample, type);
            memset(sample.bytes + 16, 0, 32);
            if (sample_has_exchange(type)) sample.bytes[16 + at] = 1;
            if (sample_has_handler(type)) sample.bytes[32 + at] = 1;
            assert_says(NULL);
        }
    }
}

static void an_offset_stands_where_it_belongs_and_in_its_range(void **state) {
    (void)state;
    for (int number = PG_ATTACHED; number <= PG_RESET; number++) {
        enum pg_type type = (enum pg_type)number;
        for (size_t at = 8; at < 16; at++) {
            sample_typical(&sample, type);
            sample.bytes[at] = 1;
            assert_says(sample_has_offset(type) ? NULL : "offset set where none belongs");
        }
        if (!sample_has_offset(type)) continue;
        memset(sample.bytes + 8, 0xff, 8);
        sample.bytes[8] = 0x7f; /* 2^63-1 */
        assert_says(NULL);
        assert_int_equal(frame.offset, INT64_MAX);
        memset(sample.bytes + 8, 0, 8);
        sample.bytes[8] = 0x80; /* 2^63 */
        assert_says("offset out of range");
        memset(sample.bytes + 8, 0xff, 8);
        assert_says("offset out of range");
    }
}

static void ack_entries_are_read_and_written(void **state) {
    (void)state;
    sample_typical(&sample, PG_ACK);
    assert_says(NULL);
    assert_int_equal(pg_ack_count(&frame), 2);
    struct pg_ack first = pg_ack_get(&frame, 0), second = pg_ack_get(&frame, 1);
    assert_int_equal(first.exchange.bytes[15], 0x11);
    assert_int_equal(first.received, 5);
    assert_int_equal(first.state, PG_ACK_DONE);
    assert_int_equal(second.exchange.bytes[0], 0x33);
    assert_int_equal(second.received, (uint64_t)1 << 40);
    assert_int_equal(second.state, 0);
    uint8_t entries[2 * PG_ACK_ENTRY];
    memset(entries, 0xff, sizeof entries);
    pg_ack_put(entries, &first);
    pg_ack_put(entries + PG_ACK_ENTRY, &second);
    assert_memory_equal(entries, sample.bytes + 48, sizeof entries);
    sample_make(&sample, PG_ACK, 0, NULL, (size_t)32 * 1024);
    assert_says(NULL);
    assert_int_equal(pg_ack_count(&frame), PG_ACK_MAX);
}

static void ack_entries_are_whole(void **state) {
    (void)state;
    sample_make(&sample, PG_ACK, 0, NULL, 96);
    for (size_t length = 0; length <= 96; length++) {
        sample_set_payload_length(&sample, length);
        assert_says(length && length % 32 == 0 ? NULL : not_allowed);
    }
}

/* In the last entry as well as in the first: the whole payload is looked at. */
static void bits_an_ack_entry_does_not_define_are_an_error(void **state) {
    (void)state;
    for (size_t entry = 0; entry < 2; entry++) {
        for (int bit = 0; bit < 64; bit++) {
            sample_typical(&sample, PG_ACK);
            memset(sample.bytes + 48 + 32 * entry + 24, 0, 8);
            sample.bytes[48 + 32 * entry + 31 - (size_t)(bit / 8)] = (uint8_t)(1u << (bit % 8));
            assert_says(bit < 32 ? "ACK: unused bytes set" : bit == 32 ? NULL : "ACK: state bit not defined");
        }
    }
}

static void an_envelope_has_its_40_bytes(void **state) {
    (void)state;
    static const uint8_t bytes[] = "0123456789abcdefABCDEFGHIJKLMNOP\x00\x01\x02\x03\x04\x05\x06\xff";
    uint8_t *copy = exact_copy(bytes, PG_ENVELOPE), back[PG_ENVELOPE];
    struct pg_envelope envelope = pg_envelope_get(copy);
    assert_memory_equal(envelope.tunnel.bytes, "0123456789abcdef", 16);
    assert_memory_equal(envelope.broker.bytes, "ABCDEFGHIJKLMNOP", 16);
    assert_int_equal(envelope.session, 0x00010203040506ff);
    pg_envelope_put(back, &envelope);
    assert_memory_equal(back, bytes, sizeof back);
    free(copy);
}

static void control_messages_are_26_bytes(void **state) {
    (void)state;
    static const uint8_t bytes[] = "\x43\x02"
                                   "0123456789abcdef"
                                   "\x80\x00\x00\x00\x00\x00\x00\x09\x00";
    uint8_t back[PG_CONTROL];
    struct pg_control control;
    for (size_t length = 0; length <= sizeof bytes; length++) {
        uint8_t *copy = exact_copy(bytes, length < sizeof bytes ? length : sizeof bytes);
        assert_int_equal(pg_control_decode(copy, length, &control), length == 26);
        free(copy);
    }
    assert_true(pg_control_decode(bytes, 26, &control));
    assert_int_equal(control.kind, PG_PROBE);
    assert_memory_equal(control.tunnel.bytes, "0123456789abcdef", 16);
    assert_int_equal(control.session, (uint64_t)1 << 63 | 9);
    pg_control_put(back, &control);
    assert_memory_equal(back, bytes, sizeof back);
}

static void a_session_tells_its_life_and_its_age(void **state) {
    (void)state;
    const struct pg_id one = {{1, 2, 3, 4, 9}}, other = {{1, 2, 3, 5}}, none = {{0}};
    assert_int_equal(pg_session_make(&one, 7), 0x0102030400000007);
    assert_int_equal(pg_session_life(pg_session_make(&one, UINT32_MAX)), pg_instance_life(&one));
    assert_int_not_equal(pg_instance_life(&none), 0);
    assert_true(pg_session_is_older(pg_session_make(&one, 7), pg_session_make(&one, 8)));
    assert_false(pg_session_is_older(pg_session_make(&one, 8), pg_session_make(&one, 8)));
    assert_false(pg_session_is_older(pg_session_make(&one, 9), pg_session_make(&one, 8)));
    assert_false(pg_session_is_older(pg_session_make(&one, 7), pg_session_make(&other, 8)));
}

static void a_control_message_has_a_known_mark_and_kind(void **state) {
    (void)state;
    struct pg_control control;
    for (int byte = 0; byte < 256; byte++) {
        uint8_t bytes[PG_CONTROL] = {0x43, (uint8_t)byte};
        assert_int_equal(pg_control_decode(bytes, sizeof bytes, &control), byte >= 1 && byte <= 6);
        if (byte >= 1 && byte <= 6) assert_int_equal(control.kind, byte);
        uint8_t marked[PG_CONTROL] = {(uint8_t)byte, PG_BELL};
        assert_int_equal(pg_control_decode(marked, sizeof marked, &control), byte == 0x43);
    }
}

static void assert_seed_is_valid(const char *name, const uint8_t *bytes, size_t length) {
    struct pg_open open_;
    struct pg_head head;
    struct pg_attached attached;
    struct pg_reset reset;
    const char *said = sample_decode_bytes(bytes, length, &frame);
    if (!said && frame.type == PG_OPEN) said = pg_open_decode(&frame, &open_);
    if (!said && frame.type == PG_HEAD) said = pg_head_decode(&frame, &head);
    if (!said && frame.type == PG_ATTACHED) said = pg_attached_decode(&frame, &attached);
    if (!said && frame.type == PG_RESET) said = pg_reset_decode(&frame, &reset);
    if (said) fail_msg("%s: %s", name, said);
}

/* The fuzzer's seeds were written by tests/fuzz/make_corpus.py after the document, not by our encoder. */
static void the_seeds_of_the_fuzzer_are_valid(void **state) {
    (void)state;
    DIR *folder = opendir(PG_CORPUS "/fuzz_wire");
    size_t frames = 0;
    assert_non_null(folder);
    for (const struct dirent *entry; (entry = readdir(folder));) {
        static uint8_t bytes[PG_MESSAGE_MAX];
        struct pg_control control;
        int fd = openat(dirfd(folder), entry->d_name, O_RDONLY);
        ssize_t length = read(fd, bytes, sizeof bytes);
        close(fd);
        if (length < 0) continue; /* "." and ".." */
        bool is_control = strncmp(entry->d_name, "control-", 8) == 0;
        assert_int_equal(pg_control_decode(bytes, (size_t)length, &control), is_control);
        if (is_control) continue;
        bool has_envelope = strncmp(entry->d_name, "out-", 4) == 0 || strncmp(entry->d_name, "back-", 5) == 0;
        size_t before = has_envelope ? PG_ENVELOPE : 0;
        assert_seed_is_valid(entry->d_name, bytes + before, (size_t)length - before);
        frames++;
    }
    closedir(folder);
    assert_true(frames > 40);
}

static int teardown(void **state) {
    (void)state;
    sample_done();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_limits_are_those_of_the_document),
        cmocka_unit_test(a_typical_frame_of_each_type_is_taken),
        cmocka_unit_test(a_header_has_its_bytes_where_the_document_says),
        cmocka_unit_test(only_version_1_is_taken),
        cmocka_unit_test(an_unknown_type_is_an_error),
        cmocka_unit_test(each_flag_bit_is_taken_only_where_it_is_defined),
        cmocka_unit_test(a_frame_cut_at_any_byte_is_an_error),
        cmocka_unit_test(the_length_must_be_exactly_what_follows),
        cmocka_unit_test(each_type_has_its_lengths),
        cmocka_unit_test(no_frame_is_longer_than_the_limit),
        cmocka_unit_test(data_is_empty_only_with_end),
        cmocka_unit_test(identifiers_stand_where_they_belong_and_nowhere_else),
        cmocka_unit_test(an_offset_stands_where_it_belongs_and_in_its_range),
        cmocka_unit_test(ack_entries_are_read_and_written),
        cmocka_unit_test(ack_entries_are_whole),
        cmocka_unit_test(bits_an_ack_entry_does_not_define_are_an_error),
        cmocka_unit_test(an_envelope_has_its_40_bytes),
        cmocka_unit_test(control_messages_are_26_bytes),
        cmocka_unit_test(a_session_tells_its_life_and_its_age),
        cmocka_unit_test(a_control_message_has_a_known_mark_and_kind),
        cmocka_unit_test(the_seeds_of_the_fuzzer_are_valid),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
