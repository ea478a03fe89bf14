#include "wire.h"

#include "bytes.h"

#include <string.h>

enum { OPEN_FIXED = 36, HEAD_FIXED = 8, FIELD_FIXED = 6, ATTACHED_FIXED = 16, RESET_FIXED = 2, CONTROL_MARK = 0x43 };

/* What each type allows; index = type. */
struct type_rule {
    uint16_t flags;
    size_t min;
    size_t max;
    bool exchange; /* about one exchange */
    bool handler;  /* belongs to a handler */
    bool offset;   /* uses the offset */
};

static const struct type_rule rules[] = {
    [PG_ATTACHED] = {0, ATTACHED_FIXED, ATTACHED_FIXED + PG_URL_MAX, false, false, false},
    [PG_GOAWAY] = {0, 0, 0, false, false, false},
    [PG_RESYNC] = {0, 0, 0, false, false, false},
    [PG_OPEN] = {PG_END | PG_CHUNKED, OPEN_FIXED + 2, PG_DATA_MAX, true, true, false},
    [PG_HEAD] = {PG_END, HEAD_FIXED, PG_DATA_MAX, true, true, false},
    [PG_DATA] = {PG_END, 0, PG_DATA_MAX, true, true, true},
    [PG_ACK] = {0, PG_ACK_ENTRY, (size_t)PG_ACK_ENTRY *PG_ACK_MAX, false, true, false},
    [PG_RESUME] = {PG_ANSWER | PG_UNKNOWN | PG_HEAD_SEEN | PG_END_SEEN, PG_ID_SIZE, PG_ID_SIZE, true, true, true},
    [PG_RESET] = {0, RESET_FIXED, RESET_FIXED + PG_REASON_MAX, true, true, false},
};

static const char *acks_wrong(const uint8_t *payload, size_t length) {
    for (const uint8_t *p = payload; p < payload + length; p += PG_ACK_ENTRY) {
        if (pg_get_u32(p + 24) & ~(uint32_t)PG_ACK_DONE) return "ACK: state bit not defined";
        if (pg_get_u32(p + 28) != 0) return "ACK: unused bytes set";
    }
    return NULL;
}

const char *pg_frame_decode(const uint8_t *bytes, size_t length, struct pg_frame *frame) {
    if (length < PG_FRAME_HEADER) return "shorter than a header";
    if (length > PG_FRAME_MAX) return "longer than a frame may be";
    if (bytes[0] != PG_WIRE_VERSION) return "unknown version";
    if (bytes[1] < PG_ATTACHED || bytes[1] > PG_RESET) return "unknown type";
    const struct type_rule *rule = &rules[bytes[1]];
    frame->type = (enum pg_type)bytes[1];
    frame->flags = pg_get_u16(bytes + 2);
    frame->length = pg_get_u32(bytes + 4);
    frame->offset = pg_get_u64(bytes + 8);
    memcpy(frame->exchange.bytes, bytes + 16, PG_ID_SIZE);
    memcpy(frame->handler.bytes, bytes + 32, PG_ID_SIZE);
    frame->payload = bytes + PG_FRAME_HEADER;
    if (frame->flags & ~rule->flags) return "flag not defined for the type";
    if (frame->length != length - PG_FRAME_HEADER) return "length differs from what follows";
    if (frame->length < rule->min || frame->length > rule->max) return "length not allowed for the type";
    if (frame->type == PG_ACK && frame->length % PG_ACK_ENTRY != 0) return "length not allowed for the type";
    if (frame->type == PG_DATA && frame->length == 0 && !(frame->flags & PG_END)) return "empty DATA without END";
    if (pg_id_is_zero(&frame->exchange) == rule->exchange) return "exchange set where none belongs, or missing";
    if (pg_id_is_zero(&frame->handler) == rule->handler) return "handler set where none belongs, or missing";
    if (!rule->offset && frame->offset != 0) return "offset set where none belongs";
    if (frame->offset > UINT64_MAX / 2) return "offset out of range";
    return frame->type == PG_ACK ? acks_wrong(frame->payload, frame->length) : NULL;
}

/* Checks that `count` fields fill exactly [at, end). */
static bool fields_valid(const uint8_t *at, const uint8_t *end, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        if (end - at < FIELD_FIXED) return false;
        size_t name = pg_get_u16(at);
        size_t value = pg_get_u32(at + 2);
        at += FIELD_FIXED;
        if (name > (size_t)(end - at)) return false;
        at += name;
        if (value > (size_t)(end - at)) return false;
        at += value;
    }
    return at == end;
}

const char *pg_open_decode(const struct pg_frame *frame, struct pg_open *open) {
    const uint8_t *p = frame->payload;
    size_t head = pg_get_u32(p + 20);
    open->deadline_unix_ms = pg_get_u64(p);
    open->body_length = pg_get_u64(p + 8);
    open->first_byte_timeout_ms = pg_get_u32(p + 16);
    open->method_length = pg_get_u16(p + 24);
    open->fields.left = pg_get_u16(p + 26);
    open->target_length = pg_get_u32(p + 28);
    open->visitor_length = pg_get_u16(p + 32);
    if (pg_get_u16(p + 34) != 0) return "OPEN: unused bytes set";
    if (head < OPEN_FIXED || head > frame->length || head > PG_HEAD_MAX) return "OPEN: head length out of range";
    if (open->method_length == 0 || open->target_length == 0) return "OPEN: no method or no target";
    size_t left = head - OPEN_FIXED;
    if (open->method_length > left || open->target_length > left - open->method_length ||
        open->visitor_length > left - open->method_length - open->target_length)
        return "OPEN: text longer than the head";
    open->method = (const char *)p + OPEN_FIXED;
    open->target = open->method + open->method_length;
    open->visitor = open->target + open->target_length;
    open->fields.at = (const uint8_t *)open->visitor + open->visitor_length;
    if (!fields_valid(open->fields.at, p + head, open->fields.left)) return "OPEN: fields do not fill the head";
    open->body = p + head;
    open->body_bytes = frame->length - head;
    return NULL;
}

const char *pg_head_decode(const struct pg_frame *frame, struct pg_head *head) {
    const uint8_t *p = frame->payload;
    size_t size = pg_get_u32(p + 4);
    head->status = pg_get_u16(p);
    head->fields.left = pg_get_u16(p + 2);
    if (head->status < 200 || head->status > 599) return "HEAD: status out of range";
    if (size < HEAD_FIXED || size > frame->length || size > PG_HEAD_MAX) return "HEAD: head length out of range";
    head->fields.at = p + HEAD_FIXED;
    if (!fields_valid(head->fields.at, p + size, head->fields.left)) return "HEAD: fields do not fill the head";
    head->body = p + size;
    head->body_bytes = frame->length - size;
    return NULL;
}

const char *pg_attached_decode(const struct pg_frame *frame, struct pg_attached *attached) {
    const uint8_t *p = frame->payload;
    attached->session = pg_get_u64(p);
    attached->window = pg_get_u32(p + 8);
    attached->max_frame = pg_get_u32(p + 12);
    attached->url = (const char *)p + ATTACHED_FIXED;
    attached->url_length = frame->length - ATTACHED_FIXED;
    return NULL;
}

const char *pg_reset_decode(const struct pg_frame *frame, struct pg_reset *reset) {
    unsigned reason = pg_get_u16(frame->payload);
    if (reason < PG_REFUSED || reason > PG_PROTOCOL) return "RESET: unknown reason";
    reset->reason = (enum pg_reason)reason;
    reset->sentence = (const char *)frame->payload + RESET_FIXED;
    reset->sentence_length = frame->length - RESET_FIXED;
    return NULL;
}

unsigned pg_reset_reason(const struct pg_frame *frame) {
    return frame->type == PG_RESET && frame->length >= 2 ? pg_get_u16(frame->payload) : 0;
}

size_t pg_ack_count(const struct pg_frame *frame) {
    return frame->length / PG_ACK_ENTRY;
}

struct pg_ack pg_ack_get(const struct pg_frame *frame, size_t i) {
    const uint8_t *p = frame->payload + i * PG_ACK_ENTRY;
    struct pg_ack ack;
    memcpy(ack.exchange.bytes, p, PG_ID_SIZE);
    ack.received = pg_get_u64(p + 16);
    ack.state = pg_get_u32(p + 24);
    return ack;
}

bool pg_fields_next(struct pg_fields *fields, struct pg_field *field) {
    if (fields->left == 0) return false;
    fields->left--;
    field->name_length = pg_get_u16(fields->at);
    field->value_length = pg_get_u32(fields->at + 2);
    field->name = (const char *)fields->at + FIELD_FIXED;
    field->value = field->name + field->name_length;
    fields->at += FIELD_FIXED + (size_t)field->name_length + field->value_length;
    return true;
}

void pg_frame_put(uint8_t to[PG_FRAME_HEADER], const struct pg_frame *frame) {
    to[0] = PG_WIRE_VERSION;
    to[1] = (uint8_t)frame->type;
    pg_put_u16(to + 2, frame->flags);
    pg_put_u32(to + 4, (uint32_t)frame->length);
    pg_put_u64(to + 8, frame->offset);
    memcpy(to + 16, frame->exchange.bytes, PG_ID_SIZE);
    memcpy(to + 32, frame->handler.bytes, PG_ID_SIZE);
}

size_t pg_fields_size(const struct pg_field *fields, size_t count) {
    size_t size = 0;
    for (size_t i = 0; i < count; i++) size += (size_t)FIELD_FIXED + fields[i].name_length + fields[i].value_length;
    return size;
}

size_t pg_open_size(const struct pg_open *open, const struct pg_field *fields, size_t count) {
    return OPEN_FIXED + open->method_length + open->target_length + open->visitor_length + pg_fields_size(fields, count);
}

size_t pg_head_size(const struct pg_field *fields, size_t count) {
    return HEAD_FIXED + pg_fields_size(fields, count);
}

static uint8_t *put_bytes(uint8_t *to, const char *from, size_t length) {
    if (length) memcpy(to, from, length);
    return to + length;
}

static void put_fields(uint8_t *to, const struct pg_field *fields, size_t count) {
    for (size_t i = 0; i < count; i++) {
        pg_put_u16(to, fields[i].name_length);
        pg_put_u32(to + 2, fields[i].value_length);
        to = put_bytes(to + FIELD_FIXED, fields[i].name, fields[i].name_length);
        to = put_bytes(to, fields[i].value, fields[i].value_length);
    }
}

void pg_open_put(uint8_t *to, const struct pg_open *open, const struct pg_field *fields, size_t count) {
    pg_put_u64(to, open->deadline_unix_ms);
    pg_put_u64(to + 8, open->body_length);
    pg_put_u32(to + 16, open->first_byte_timeout_ms);
    pg_put_u32(to + 20, (uint32_t)pg_open_size(open, fields, count));
    pg_put_u16(to + 24, (uint16_t)open->method_length);
    pg_put_u16(to + 26, (uint16_t)count);
    pg_put_u32(to + 28, (uint32_t)open->target_length);
    pg_put_u16(to + 32, (uint16_t)open->visitor_length);
    pg_put_u16(to + 34, 0);
    uint8_t *at = to + OPEN_FIXED;
    at = put_bytes(at, open->method, open->method_length);
    at = put_bytes(at, open->target, open->target_length);
    at = put_bytes(at, open->visitor, open->visitor_length);
    put_fields(at, fields, count);
}

void pg_head_put(uint8_t *to, const struct pg_head *head, const struct pg_field *fields, size_t count) {
    pg_put_u16(to, head->status);
    pg_put_u16(to + 2, (uint16_t)count);
    pg_put_u32(to + 4, (uint32_t)pg_head_size(fields, count));
    put_fields(to + HEAD_FIXED, fields, count);
}

void pg_ack_put(uint8_t to[PG_ACK_ENTRY], const struct pg_ack *ack) {
    memcpy(to, ack->exchange.bytes, PG_ID_SIZE);
    pg_put_u64(to + 16, ack->received);
    pg_put_u32(to + 24, ack->state);
    pg_put_u32(to + 28, 0);
}

size_t pg_attached_put(uint8_t *to, const struct pg_attached *attached) {
    size_t length = attached->url_length < PG_URL_MAX ? attached->url_length : PG_URL_MAX;
    pg_put_u64(to, attached->session);
    pg_put_u32(to + 8, attached->window);
    pg_put_u32(to + 12, attached->max_frame);
    put_bytes(to + ATTACHED_FIXED, attached->url, length);
    return ATTACHED_FIXED + length;
}

size_t pg_reset_put(uint8_t *to, enum pg_reason reason, const char *sentence) {
    size_t length = strnlen(sentence, PG_REASON_MAX);
    pg_put_u16(to, (uint16_t)reason);
    put_bytes(to + RESET_FIXED, sentence, length);
    return RESET_FIXED + length;
}

void pg_envelope_put(uint8_t to[PG_ENVELOPE], const struct pg_envelope *envelope) {
    memcpy(to, envelope->tunnel.bytes, PG_ID_SIZE);
    memcpy(to + 16, envelope->broker.bytes, PG_ID_SIZE);
    pg_put_u64(to + 32, envelope->session);
}

struct pg_envelope pg_envelope_get(const uint8_t from[PG_ENVELOPE]) {
    struct pg_envelope envelope;
    memcpy(envelope.tunnel.bytes, from, PG_ID_SIZE);
    memcpy(envelope.broker.bytes, from + 16, PG_ID_SIZE);
    envelope.session = pg_get_u64(from + 32);
    return envelope;
}

uint32_t pg_instance_life(const struct pg_id *instance) {
    uint32_t life = pg_get_u32(instance->bytes);
    return life ? life : 1;
}

uint64_t pg_session_make(const struct pg_id *instance, uint32_t attempt) {
    return ((uint64_t)pg_instance_life(instance) << 32) | attempt;
}

uint32_t pg_session_life(uint64_t session) {
    return (uint32_t)(session >> 32);
}

bool pg_session_is_older(uint64_t a, uint64_t b) {
    return pg_session_life(a) == pg_session_life(b) && a < b;
}

bool pg_control_decode(const uint8_t *bytes, size_t length, struct pg_control *control) {
    if (length != PG_CONTROL || bytes[0] != CONTROL_MARK) return false;
    if (bytes[1] < PG_BELL || bytes[1] > PG_MOVED) return false;
    control->kind = (enum pg_control_kind)bytes[1];
    memcpy(control->tunnel.bytes, bytes + 2, PG_ID_SIZE);
    control->session = pg_get_u64(bytes + 18);
    return true;
}

void pg_control_put(uint8_t to[PG_CONTROL], const struct pg_control *control) {
    to[0] = CONTROL_MARK;
    to[1] = (uint8_t)control->kind;
    memcpy(to + 2, control->tunnel.bytes, PG_ID_SIZE);
    pg_put_u64(to + 18, control->session);
}
