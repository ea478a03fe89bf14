/* The rules of HTTP. The input is a field list as people would write it, "Name: value" lines; each rule is compared
 * with a plain second reading of the same sentence of RFC 9110. */
#include "fuzz.h"

#include "http.h"

#include <stdbool.h>
#include <string.h>

enum { FIELDS_MAX = 4096 };

static struct pg_field given[FIELDS_MAX], left[FIELDS_MAX];

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool same(const char *a, size_t a_length, const char *b, size_t b_length) {
    if (a_length != b_length) return false;
    for (size_t i = 0; i < a_length; i++)
        if (lower(a[i]) != lower(b[i])) return false;
    return true;
}

static bool is(const struct pg_field *field, const char *name) {
    return same(field->name, field->name_length, name, strlen(name));
}

/* Is `field` one of the first `*members` members of the list? Letter by letter, where the library looks for commas. */
static bool names(const struct pg_field *list, const struct pg_field *field, size_t *members) {
    size_t start = 0;
    for (size_t i = 0; i <= list->value_length; i++) {
        if (i < list->value_length && list->value[i] != ',') continue;
        size_t from = start, to = i;
        start = i + 1;
        while (from < to && (list->value[from] == ' ' || list->value[from] == '\t')) from++;
        while (to > from && (list->value[to - 1] == ' ' || list->value[to - 1] == '\t')) to--;
        if (to == from) continue;
        if (*members == 0) return false;
        --*members;
        if (same(list->value + from, to - from, field->name, field->name_length)) return true;
    }
    return false;
}

static bool is_named(size_t count, const struct pg_field *field) {
    size_t members = PG_HTTP_NAMED_MAX;
    for (size_t i = 0; i < count; i++)
        if (is(&given[i], "connection") && names(&given[i], field, &members)) return true;
    return false;
}

static bool goes(size_t count, const struct pg_field *field) {
    static const char *const hop[] = {"connection",
                                      "keep-alive",
                                      "proxy-connection",
                                      "proxy-authenticate",
                                      "proxy-authorization",
                                      "te",
                                      "trailer",
                                      "transfer-encoding",
                                      "upgrade",
                                      "expect"};
    for (size_t i = 0; i < sizeof hop / sizeof *hop; i++)
        if (is(field, hop[i])) return true;
    if (is(field, "content-length") || is(field, "host")) return false;
    return field->name_length == 0 || is_named(count, field);
}

static void try_strip(size_t count) {
    memcpy(left, given, count * sizeof *given);
    size_t kept = pg_http_strip_hop_by_hop(left, count), at = 0;
    for (size_t i = 0; i < count; i++) {
        if (goes(count, &given[i])) continue;
        MUST(at < kept);
        MUST(left[at].name == given[i].name && left[at].name_length == given[i].name_length);
        MUST(left[at].value == given[i].value && left[at].value_length == given[i].value_length);
        at++;
    }
    MUST(at == kept);
}

static void try_list(const struct pg_field *list, const struct pg_field *field) {
    size_t members = SIZE_MAX;
    MUST(pg_http_list_names(list->value, list->value_length, field) == (field->name_length > 0 && names(list, field, &members)));
}

static void try_text(const char *text, size_t length) {
    bool token = length > 0, value = true, target = length > 0;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c <= 0x20 || c >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", c)) token = false;
        if (c == '\r' || c == '\n' || c == 0) value = false;
        if (c <= 0x20 || c == 0x7f) target = false;
    }
    MUST(pg_http_is_token(text, length) == token);
    MUST(pg_http_is_value(text, length) == value);
    MUST(pg_http_is_target(text, length) == target);
    if (pg_http_is_idempotent(text, length)) MUST(length >= 3 && length <= 7 && token);
}

static void try_length(const char *text, size_t length) {
    uint64_t read = 4711, wanted = 0;
    bool good = length > 0 && length <= 19;
    for (size_t i = 0; i < length && good; i++) {
        unsigned digit = (unsigned)(text[i] - '0');
        good = digit <= 9 && wanted <= (INT64_MAX - digit) / 10;
        wanted = wanted * 10 + digit;
    }
    MUST(pg_http_parse_length(text, length, &read) == good);
    MUST(read == (good ? wanted : 4711));
}

/* Cuts the text into lines and each at its first colon. */
static size_t cut(const char *text, size_t length) {
    size_t count = 0;
    const char *end = text + length;
    while (text < end && count < FIELDS_MAX) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *stop = newline ? newline : end;
        const char *colon = memchr(text, ':', (size_t)(stop - text));
        const char *name_end = colon ? colon : stop, *value = colon ? colon + 1 : stop;
        if (name_end - text <= UINT16_MAX)
            given[count++] = (struct pg_field){text, value, (uint16_t)(name_end - text), (uint32_t)(stop - value)};
        text = newline ? newline + 1 : end;
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    size_t count = cut((const char *)data, size);
    try_strip(count);
    try_text((const char *)data, size);
    for (size_t i = 0; i < count; i++) {
        try_text(given[i].name, given[i].name_length);
        try_text(given[i].value, given[i].value_length);
        try_length(given[i].value, given[i].value_length);
        try_list(&given[i], &given[count - 1]);
    }
    return 0;
}
