/* The codec. The input is what a peer could send: it is decoded as a frame, as an envelope with a frame behind it, and
 * as a control message. What a decoder takes must lie inside the input (the address sanitizer looks), keep the limits
 * of WIRE.md, and come out as the same bytes when it is encoded again. */
#include "fuzz.h"

#include "bytes.h"
#include "http.h"
#include "wire.h"

#include <string.h>

enum { FIELDS_MAX = PG_HEAD_MAX / 6 };

static struct pg_field fields[FIELDS_MAX];
static uint8_t again[PG_FRAME_MAX];
static volatile uint8_t sink;

static void touch(const void *bytes, size_t length) {
    const uint8_t *at = bytes;
    for (size_t i = 0; i < length; i++) sink = (uint8_t)(sink + at[i]);
}

static void must_lie_inside(const struct pg_frame *frame, const void *bytes, size_t length) {
    const uint8_t *at = bytes;
    MUST(at >= frame->payload && at <= frame->payload + frame->length);
    MUST(length <= (size_t)(frame->payload + frame->length - at));
    touch(bytes, length);
}

static size_t collect(const struct pg_frame *frame, struct pg_fields list) {
    size_t count = 0;
    while (pg_fields_next(&list, &fields[count])) {
        must_lie_inside(frame, fields[count].name, fields[count].name_length);
        must_lie_inside(frame, fields[count].value, fields[count].value_length);
        count++;
        MUST(count <= FIELDS_MAX);
        if (count == FIELDS_MAX) break;
    }
    return count;
}

/* The payload is what was encoded, and the body behind it. */
static void must_be_payload(const struct pg_frame *frame, size_t size, const uint8_t *body, size_t body_bytes) {
    MUST(size <= PG_HEAD_MAX && size + body_bytes == frame->length);
    MUST(memcmp(again, frame->payload, size) == 0);
    MUST(body == frame->payload + size);
    must_lie_inside(frame, body, body_bytes);
}

/* What a program does with the fields next. */
static void use_fields(size_t count) {
    for (size_t i = 0; i < count; i++) {
        pg_http_is_token(fields[i].name, fields[i].name_length);
        pg_http_is_value(fields[i].value, fields[i].value_length);
    }
    MUST(pg_http_strip_hop_by_hop(fields, count) <= count);
}

static void try_open(const struct pg_frame *frame) {
    struct pg_open open;
    if (pg_open_decode(frame, &open)) return;
    MUST(open.method_length > 0 && open.target_length > 0);
    must_lie_inside(frame, open.method, open.method_length);
    must_lie_inside(frame, open.target, open.target_length);
    must_lie_inside(frame, open.visitor, open.visitor_length);
    size_t count = collect(frame, open.fields);
    size_t size = pg_open_size(&open, fields, count);
    MUST(size <= sizeof again);
    pg_open_put(again, &open, fields, count);
    must_be_payload(frame, size, open.body, open.body_bytes);
    use_fields(count);
}

static void try_head(const struct pg_frame *frame) {
    struct pg_head head;
    if (pg_head_decode(frame, &head)) return;
    MUST(head.status >= 200 && head.status <= 599);
    size_t count = collect(frame, head.fields);
    size_t size = pg_head_size(fields, count);
    MUST(size <= sizeof again);
    pg_head_put(again, &head, fields, count);
    must_be_payload(frame, size, head.body, head.body_bytes);
    use_fields(count);
}

static void try_attached(const struct pg_frame *frame) {
    struct pg_attached attached;
    if (pg_attached_decode(frame, &attached)) return;
    MUST(attached.url_length <= PG_URL_MAX);
    must_lie_inside(frame, attached.url, attached.url_length);
    MUST(pg_attached_put(again, &attached) == frame->length);
    MUST(memcmp(again, frame->payload, frame->length) == 0);
}

static void try_reset(const struct pg_frame *frame) {
    struct pg_reset reset;
    char sentence[PG_REASON_MAX + 1];
    if (pg_reset_decode(frame, &reset)) return;
    MUST(reset.reason >= PG_REFUSED && reset.reason <= PG_PROTOCOL);
    MUST(reset.sentence_length <= PG_REASON_MAX);
    must_lie_inside(frame, reset.sentence, reset.sentence_length);
    memcpy(sentence, reset.sentence, reset.sentence_length);
    sentence[reset.sentence_length] = '\0';
    /* The encoder takes a C string: with a NUL in it, it writes what stands before. */
    size_t written = pg_reset_put(again, reset.reason, sentence);
    MUST(written == 2 + strlen(sentence));
    MUST(memcmp(again, frame->payload, written) == 0);
}

static void try_ack(const struct pg_frame *frame) {
    size_t count = pg_ack_count(frame);
    MUST(count >= 1 && count <= PG_ACK_MAX && count * PG_ACK_ENTRY == frame->length);
    for (size_t i = 0; i < count; i++) {
        struct pg_ack ack = pg_ack_get(frame, i);
        pg_ack_put(again, &ack);
        MUST(memcmp(again, frame->payload + i * PG_ACK_ENTRY, PG_ACK_ENTRY) == 0);
    }
}

static void try_frame(const uint8_t *data, size_t size) {
    struct pg_frame frame;
    uint8_t header[PG_FRAME_HEADER];
    if (pg_frame_decode(data, size, &frame)) return;
    MUST(size >= PG_FRAME_HEADER && size <= PG_FRAME_MAX && frame.length == size - PG_FRAME_HEADER);
    MUST(frame.payload == data + PG_FRAME_HEADER);
    pg_frame_put(header, &frame);
    MUST(memcmp(header, data, sizeof header) == 0);
    switch (frame.type) {
    case PG_OPEN: try_open(&frame); break;
    case PG_HEAD: try_head(&frame); break;
    case PG_ATTACHED: try_attached(&frame); break;
    case PG_RESET: try_reset(&frame); break;
    case PG_ACK: try_ack(&frame); break;
    case PG_DATA: MUST(frame.length > 0 || frame.flags & PG_END); break;
    case PG_RESUME: MUST(frame.length == PG_ID_SIZE); break;
    case PG_GOAWAY:
    case PG_RESYNC: MUST(frame.length == 0); break;
    }
}

static void try_control(const uint8_t *data, size_t size) {
    struct pg_control control;
    if (!pg_control_decode(data, size, &control)) return;
    MUST(size == PG_CONTROL && control.kind >= PG_BELL && control.kind <= PG_MOVED);
    pg_control_put(again, &control);
    MUST(memcmp(again, data, PG_CONTROL) == 0);
}

static void try_message(const uint8_t *data, size_t size) {
    if (size < PG_ENVELOPE) return;
    struct pg_envelope envelope = pg_envelope_get(data);
    pg_envelope_put(again, &envelope);
    MUST(memcmp(again, data, PG_ENVELOPE) == 0);
    try_frame(data + PG_ENVELOPE, size - PG_ENVELOPE);
}

/* Most mutations change the size, and the header's length then refuses all the rest: once more with the right one. */
static void try_repaired(const uint8_t *data, size_t size) {
    if (size < PG_FRAME_HEADER || size > PG_FRAME_MAX) return;
    uint8_t *repaired = malloc(size);
    MUST(repaired);
    memcpy(repaired, data, size);
    pg_put_u32(repaired + 4, (uint32_t)(size - PG_FRAME_HEADER));
    try_frame(repaired, size);
    free(repaired);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    try_control(data, size);
    try_frame(data, size);
    try_message(data, size);
    try_repaired(data, size);
    return 0;
}
