#include "http.h"

#include <string.h>

bool pg_http_is_token(const char *text, size_t length) {
    static const char marks[] = "!#$%&'*+-.^_`|~";
    if (length == 0) return false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        bool alphanumeric = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alphanumeric && (c == '\0' || !strchr(marks, c))) return false;
    }
    return true;
}

bool pg_http_is_value(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (text[i] == '\r' || text[i] == '\n' || text[i] == '\0') return false;
    return true;
}

bool pg_http_is_target(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c <= 0x20 || c == 0x7f) return false;
    }
    return length > 0;
}

static char lower_case(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Not strncasecmp(3): that ends at a NUL, and goes by the locale. */
static bool same_name(const char *a, const char *b, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (lower_case(a[i]) != lower_case(b[i])) return false;
    return true;
}

bool pg_http_name_is(const struct pg_field *field, const char *lower) {
    return strlen(lower) == field->name_length && same_name(field->name, lower, field->name_length);
}

bool pg_http_is_hop_by_hop(const struct pg_field *field) {
    static const char *const names[] = {"connection",
                                        "keep-alive",
                                        "proxy-connection",
                                        "proxy-authenticate",
                                        "proxy-authorization",
                                        "te",
                                        "trailer",
                                        "transfer-encoding",
                                        "upgrade",
                                        "expect"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (pg_http_name_is(field, names[i])) return true;
    return false;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

/* The next member of a comma-separated list, without blanks around it; empty ones are passed over. *list moves on. */
static bool next_member(const char **list, const char *end, const char **member, size_t *length) {
    while (*list < end) {
        const char *comma = memchr(*list, ',', (size_t)(end - *list));
        const char *first = *list, *last = comma ? comma : end;
        *list = comma ? comma + 1 : end;
        while (first < last && is_blank(*first)) first++;
        while (last > first && is_blank(last[-1])) last--;
        *member = first;
        *length = (size_t)(last - first);
        if (*length > 0) return true;
    }
    return false;
}

static bool is_named(const struct pg_field *field, const char *member, size_t length) {
    return length == field->name_length && same_name(member, field->name, length);
}

bool pg_http_list_names(const char *list, size_t list_length, const struct pg_field *field) {
    const char *end = list + list_length, *member;
    size_t length;
    while (next_member(&list, end, &member, &length))
        if (is_named(field, member, length)) return true;
    return false;
}

/* Content-Length and Host frame and route the message: a Connection field cannot take them away (request smuggling). The
 * Connection fields themselves are still needed; they go last. */
static bool stays(const struct pg_field *field) {
    return pg_http_name_is(field, "content-length") || pg_http_name_is(field, "host") || pg_http_name_is(field, "connection");
}

static void mark(struct pg_field *fields, size_t count, const char *member, size_t length) {
    for (size_t i = 0; i < count; i++)
        if (is_named(&fields[i], member, length) && !stays(&fields[i])) fields[i].name_length = 0;
}

size_t pg_http_strip_hop_by_hop(struct pg_field *fields, size_t count) {
    size_t kept = 0, length;
    unsigned left = PG_HTTP_NAMED_MAX;
    /* First those that Connection names; an emptied name marks them. */
    for (size_t i = 0; i < count && left; i++) {
        if (!pg_http_name_is(&fields[i], "connection")) continue;
        const char *list = fields[i].value, *end = list + fields[i].value_length, *member;
        for (; left && next_member(&list, end, &member, &length); left--) mark(fields, count, member, length);
    }
    for (size_t i = 0; i < count; i++)
        if (fields[i].name_length && !pg_http_is_hop_by_hop(&fields[i])) fields[kept++] = fields[i];
    return kept;
}

bool pg_http_is_idempotent(const char *method, size_t length) {
    static const char *const names[] = {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i]) == length && memcmp(names[i], method, length) == 0) return true;
    return false;
}

bool pg_http_is_head(const char *method, size_t length) {
    return length == 4 && memcmp(method, "HEAD", 4) == 0;
}

bool pg_http_parse_length(const char *text, size_t length, uint64_t *value) {
    uint64_t number = 0;
    if (length == 0 || length > 19) return false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9') return false;
        number = number * 10 + (uint64_t)(text[i] - '0'); /* 19 digits fit in 64 bits */
    }
    if (number > INT64_MAX) return false;
    *value = number;
    return true;
}
