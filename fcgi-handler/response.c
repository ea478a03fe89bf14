#include "response.h"

#include "http.h"

#include <inttypes.h>
#include <microhttpd.h>
#include <string.h>

/* "Status" would set the CGI status; "X-Pipegate-Error" is the mark of our own answers; the others have web servers send files
 * of their own. */
static bool is_dropped(const struct pg_field *field) {
    static const char *const names[] = {"status",     "content-length", "x-pipegate-error",    "x-accel-redirect",
                                        "x-sendfile", "x-sendfile2",    "x-lighttpd-send-file"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (pg_http_name_is(field, names[i])) return true;
    return false;
}

/* Several equal Content-Length fields are one (RFC 9110 8.6); different ones are an error. */
static const char *read_length(const struct pg_field *field, uint64_t *length) {
    uint64_t value;
    if (!pg_http_parse_length(field->value, field->value_length, &value)) return "its Content-Length is not valid";
    if (*length != PG_LENGTH_UNKNOWN && *length != value) return "it has two different Content-Lengths";
    *length = value;
    return NULL;
}

static const char *read_fields(struct pg_fields list, struct pg_field *fields, size_t *count, uint64_t *length) {
    struct pg_field field;
    *count = 0;
    while (pg_fields_next(&list, &field)) {
        if (!pg_http_is_token(field.name, field.name_length)) return "a field's name is not valid";
        if (!pg_http_is_value(field.value, field.value_length)) return "a field's value holds a line break";
        if (*count == PG_RESPONSE_FIELDS_MAX) return "it has too many fields";
        if (pg_http_name_is(&field, "content-length")) {
            const char *wrong = read_length(&field, length);
            if (wrong) return wrong;
        }
        fields[(*count)++] = field;
    }
    return NULL;
}

const char *response_write_head(struct pg_text *to, const struct pg_head *head, bool whole, bool is_head,
                                struct response *response) {
    struct pg_field fields[PG_RESPONSE_FIELDS_MAX];
    size_t count;
    uint64_t length = PG_LENGTH_UNKNOWN;
    const char *wrong = read_fields(head->fields, fields, &count, &length);
    if (wrong) return wrong;
    response->status = head->status;
    response->no_body = is_head || head->status == 204 || head->status == 304;
    if (whole && !response->no_body) {
        if (length != PG_LENGTH_UNKNOWN && length != head->body_bytes) return "its body is not as long as it says";
        length = head->body_bytes;
    }
    response->content_length = response->no_body ? PG_LENGTH_UNKNOWN : length;
    /* With its reason: nginx makes the status line of these very words, and without it lacks a space (RFC 9112 4). */
    pg_text_add(to, "Status: %u %s\r\n", head->status, MHD_get_reason_phrase_for(head->status));
    count = pg_http_strip_hop_by_hop(fields, count);
    for (size_t i = 0; i < count; i++) {
        if (is_dropped(&fields[i])) continue;
        pg_text_add_bytes(to, fields[i].name, fields[i].name_length);
        pg_text_add_bytes(to, ": ", 2);
        pg_text_add_bytes(to, fields[i].value, fields[i].value_length);
        pg_text_add_bytes(to, "\r\n", 2);
    }
    if (length != PG_LENGTH_UNKNOWN && head->status != 204) pg_text_add(to, "Content-Length: %" PRIu64 "\r\n", length);
    pg_text_add_bytes(to, "\r\n", 2);
    return to->cut ? "its header is too large" : NULL;
}
