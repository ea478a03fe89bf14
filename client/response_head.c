#include "response_head.h"

#include "bytes.h"
#include "http.h"

#include <stdlib.h>
#include <string.h>

enum { KEEP_ROOM = 8192, FIRST_ROOM = 1024, FIELD_FIXED = 6, STATUS_SWITCHING = 101 };

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

static bool make_room(struct response_head *head, size_t more) {
    size_t needed = head->length + more;
    if (needed <= head->room) return true;
    size_t room = head->room ? head->room : FIRST_ROOM;
    while (room < needed) room *= 2;
    uint8_t *grown = realloc(head->bytes, room);
    if (!grown) return false;
    head->bytes = grown;
    head->room = room;
    return true;
}

static bool fits(const struct response_head *head, size_t more) {
    return head->length + more <= PG_HEAD_MAX - pg_head_size(NULL, 0);
}

/* "HTTP/1.1 200 OK" */
static const char *take_status(struct response_head *head, const char *line, size_t length) {
    const char *space = memchr(line, ' ', length);
    if (length < 5 || memcmp(line, "HTTP/", 5) != 0 || !space || space + 4 > line + length) return "sent no HTTP status line";
    unsigned status = 0;
    for (int i = 1; i <= 3; i++) {
        if (space[i] < '0' || space[i] > '9') return "sent no HTTP status line";
        status = status * 10 + (unsigned)(space[i] - '0');
    }
    if (status == STATUS_SWITCHING) return "switched to another protocol, which the tunnel cannot carry";
    if (status < 100 || status > 599) return "answered with a status that HTTP does not have";
    head->status = status;
    head->length = 0;
    head->count = 0;
    head->awaits = RESPONSE_HEAD_FIELDS;
    return NULL;
}

/* A folded line (RFC 9112 5.2) becomes one space and its text behind the field before it. */
static const char *take_folded(struct response_head *head, const char *text, size_t length) {
    while (length && is_blank(*text)) text++, length--;
    if (!fits(head, length + 1)) return "sent a response head that is too large";
    if (!make_room(head, length + 1)) return "sent a response head, and memory is out";
    head->bytes[head->length] = ' ';
    if (length) memcpy(head->bytes + head->length + 1, text, length);
    head->length += length + 1;
    uint8_t *value_length = head->bytes + head->last + 2;
    pg_put_u32(value_length, pg_get_u32(value_length) + (uint32_t)length + 1);
    return NULL;
}

static const char *take_field(struct response_head *head, const char *line, size_t length) {
    const char *colon = memchr(line, ':', length);
    if (!colon) return "sent a header line without a colon";
    size_t name = (size_t)(colon - line);
    const char *value = colon + 1;
    size_t value_length = length - name - 1;
    while (name && is_blank(line[name - 1])) name--; /* RFC 9112 5.1: a proxy removes it */
    while (value_length && is_blank(*value)) value++, value_length--;
    if (!pg_http_is_token(line, name) || name > UINT16_MAX) return "sent a header field with an invalid name";
    if (!pg_http_is_value(value, value_length)) return "sent a header field with an invalid value";
    if (head->count == PG_RESPONSE_FIELDS_MAX) return "sent too many header fields";
    if (!fits(head, FIELD_FIXED + name + value_length)) return "sent a response head that is too large";
    if (!make_room(head, FIELD_FIXED + name + value_length)) return "sent a response head, and memory is out";
    uint8_t *to = head->bytes + head->length;
    pg_put_u16(to, (uint16_t)name);
    pg_put_u32(to + 2, (uint32_t)value_length);
    memcpy(to + FIELD_FIXED, line, name);
    if (value_length) memcpy(to + FIELD_FIXED + name, value, value_length);
    head->last = head->length;
    head->length += FIELD_FIXED + name + value_length;
    head->count++;
    return NULL;
}

enum response_head_result response_head_line(struct response_head *head, const char *line, size_t length, const char **error) {
    *error = NULL;
    if (head->awaits == RESPONSE_HEAD_DONE) return RESPONSE_HEAD_MORE; /* a trailer */
    if (length && line[length - 1] == '\n') length--;
    if (length && line[length - 1] == '\r') length--;
    bool blank = length == 0;
    while (length && is_blank(line[length - 1])) length--;
    if (head->awaits == RESPONSE_HEAD_STATUS) {
        *error = take_status(head, line, length);
    } else if (blank) {
        head->awaits = head->status < 200 ? RESPONSE_HEAD_STATUS : RESPONSE_HEAD_DONE;
        if (head->awaits == RESPONSE_HEAD_DONE) return RESPONSE_HEAD_COMPLETE;
    } else if (is_blank(*line) && head->count) {
        if (length == 0) return RESPONSE_HEAD_MORE; /* nothing but blanks, folded (RFC 9112 5.2): it ends no head */
        *error = pg_http_is_value(line, length) ? take_folded(head, line, length) : "sent a header field with an invalid value";
    } else {
        *error = take_field(head, line, length);
    }
    return *error ? RESPONSE_HEAD_BAD : RESPONSE_HEAD_MORE;
}

/* Leaves out Content-Length fields that say nothing new or, with chunks, nothing true (RFC 9112 6.3). */
static const char *check_lengths(struct pg_field *fields, size_t *count, bool chunked, uint64_t *body_length) {
    size_t kept = 0;
    *body_length = PG_LENGTH_UNKNOWN;
    for (size_t i = 0; i < *count; i++) {
        if (pg_http_name_is(&fields[i], "content-length")) {
            uint64_t value;
            if (chunked) continue;
            if (!pg_http_parse_length(fields[i].value, fields[i].value_length, &value))
                return "sent a Content-Length that is no number";
            if (*body_length == value) continue;
            if (*body_length != PG_LENGTH_UNKNOWN) return "sent two different Content-Lengths";
            *body_length = value;
        }
        fields[kept++] = fields[i];
    }
    *count = kept;
    return NULL;
}

const char *response_head_fields(const struct response_head *head, struct pg_field *fields, size_t *count, uint64_t *body_length) {
    struct pg_fields list = {.at = head->bytes, .left = head->count};
    bool chunked = false;
    size_t found = 0;
    while (pg_fields_next(&list, &fields[found])) {
        if (pg_http_name_is(&fields[found], "transfer-encoding")) chunked = true;
        found++;
        if (found == PG_RESPONSE_FIELDS_MAX) break;
    }
    *count = pg_http_strip_hop_by_hop(fields, found);
    return check_lengths(fields, count, chunked, body_length);
}

void response_head_reset(struct response_head *head) {
    if (head->room > KEEP_ROOM) response_head_free(head);
    head->length = 0;
    head->count = 0;
    head->awaits = RESPONSE_HEAD_STATUS;
}

void response_head_free(struct response_head *head) {
    free(head->bytes);
    *head = (struct response_head){0};
}
