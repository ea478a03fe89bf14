#include "samples.h"

#include "support.h"

#include <stdlib.h>
#include <string.h>

/* An OPEN: POST /a?b from "v", two fields, and the body "xyz". Head: 36 + 4 + 4 + 1 + (6+4+9) + (6+1+0) = 71. */
static const char open_payload[] = "\x00\x00\x01\x99\x00\x00\x00\x07" /* deadline */
                                   "\x00\x00\x00\x00\x00\x00\x00\x03" /* body length */
                                   "\x00\x04\x93\xe0"                 /* first-byte timeout, 300,000 */
                                   "\x00\x00\x00\x47"                 /* head length */
                                   "\x00\x04\x00\x02\x00\x00\x00\x04\x00\x01\x00\x00"
                                   "POST/a?bv"
                                   "\x00\x04\x00\x00\x00\x09Hostlocalhost"
                                   "\x00\x01\x00\x00\x00\x00X"
                                   "xyz";

/* A HEAD: 200, one field, and the body "ok". Head: 8 + (6+6+3) = 23. */
static const char head_payload[] = "\x00\xc8\x00\x01\x00\x00\x00\x17\x00\x06\x00\x00\x00\x03Set-Ck"
                                   "a=b"
                                   "ok";

/* Two entries: exchange 0x11.., 5 bytes, DONE; exchange 0x33.., 2^40 bytes. */
static const char ack_payload[] = "\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11"
                                  "\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x01\x00\x00\x00\x00"
                                  "\x33\x33\x33\x33\x33\x33\x33\x33\x33\x33\x33\x33\x33\x33\x33\x33"
                                  "\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";

/* Session 7, window 262,144, largest frame 65,360. */
static const char attached_payload[] = "\x00\x00\x00\x00\x00\x00\x00\x07\x00\x10\x00\x00\x00\x00\xff\x50"
                                       "https://example.com/x/";

static const char reset_payload[] = "\x00\x03the response broke off";

bool sample_has_exchange(enum pg_type type) {
    return type == PG_OPEN || type == PG_HEAD || type == PG_DATA || type == PG_RESUME || type == PG_RESET;
}

bool sample_has_handler(enum pg_type type) {
    return sample_has_exchange(type) || type == PG_ACK;
}

bool sample_has_offset(enum pg_type type) {
    return type == PG_DATA || type == PG_RESUME;
}

void sample_set_payload_length(struct sample *sample, size_t length) {
    if (length > SAMPLE_MAX - 48) abort();
    for (int i = 0; i < 4; i++) sample->bytes[4 + i] = (uint8_t)(length >> (24 - 8 * i));
    sample->length = 48 + length;
}

void sample_make(struct sample *sample, enum pg_type type, uint16_t flags, const void *payload, size_t length) {
    memset(sample, 0, sizeof *sample);
    sample->bytes[0] = 1;
    sample->bytes[1] = (uint8_t)type;
    sample->bytes[2] = (uint8_t)(flags >> 8);
    sample->bytes[3] = (uint8_t)flags;
    if (sample_has_exchange(type)) memset(sample->bytes + 16, SAMPLE_EXCHANGE, 16);
    if (sample_has_handler(type)) memset(sample->bytes + 32, SAMPLE_HANDLER, 16);
    sample_set_payload_length(sample, length);
    if (payload) memcpy(sample->bytes + 48, payload, length);
}

void sample_typical(struct sample *sample, enum pg_type type) {
    switch (type) {
    case PG_ATTACHED: sample_make(sample, type, 0, attached_payload, sizeof attached_payload - 1); break;
    case PG_GOAWAY: sample_make(sample, type, 0, NULL, 0); break;
    case PG_RESYNC: sample_make(sample, type, 0, NULL, 0); break;
    case PG_OPEN: sample_make(sample, type, 0x01, open_payload, sizeof open_payload - 1); break;
    case PG_HEAD: sample_make(sample, type, 0x01, head_payload, sizeof head_payload - 1); break;
    case PG_DATA: sample_make(sample, type, 0, "some bytes", 10); break;
    case PG_ACK: sample_make(sample, type, 0, ack_payload, sizeof ack_payload - 1); break;
    case PG_RESUME: sample_make(sample, type, 0x34, "0123456789abcdef", 16); break;
    case PG_RESET: sample_make(sample, type, 0, reset_payload, sizeof reset_payload - 1); break;
    }
    if (sample_has_offset(type)) sample->bytes[14] = 3; /* 768 */
}

static uint8_t *last;

void sample_done(void) {
    free(last);
    last = NULL;
}

const char *sample_decode_bytes(const uint8_t *bytes, size_t length, struct pg_frame *frame) {
    sample_done();
    last = exact_copy(bytes, length);
    return pg_frame_decode(last, length, frame);
}

const char *sample_decode(const struct sample *sample, struct pg_frame *frame) {
    return sample_decode_bytes(sample->bytes, sample->length, frame);
}
