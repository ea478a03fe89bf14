#include "bus_url.h"

#include "file.h"
#include "units.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_PORT = 6379, DATABASE_MAX = 65535 };

/* Copies [from, end) to a text of PG_BUS_URL_TEXT bytes; false when it does not fit. */
static bool copy(char *to, const char *from, const char *end) {
    size_t length = (size_t)(end - from);
    if (length >= PG_BUS_URL_TEXT) return false;
    memcpy(to, from, length);
    to[length] = '\0';
    return true;
}

static bool number(const char *from, const char *end, uint64_t max, int *to) {
    char text[8];
    uint64_t value;
    size_t length = (size_t)(end - from);
    if (length >= sizeof text) return false;
    memcpy(text, from, length);
    text[length] = '\0';
    if (!pg_parse_count(text, &value) || value > max) return false;
    *to = (int)value;
    return true;
}

static bool percent_decode(char *text) {
    char *to = text;
    for (const char *from = text; *from; from++) {
        if (*from != '%') {
            *to++ = *from;
            continue;
        }
        if (!isxdigit((unsigned char)from[1]) || !isxdigit((unsigned char)from[2])) return false;
        long value = strtol((char[]){from[1], from[2], '\0'}, NULL, 16);
        if (value == 0) return false;
        *to++ = (char)value;
        from += 2;
    }
    *to = '\0';
    return true;
}

static bool parse_login(const char *from, const char *at, struct pg_bus_url *url) {
    const char *colon = memchr(from, ':', (size_t)(at - from));
    if (!copy(url->user, from, colon ? colon : at) || !copy(url->password, colon ? colon + 1 : at, at)) return false;
    return percent_decode(url->user) && percent_decode(url->password) && (*url->user || *url->password);
}

static bool parse_host(const char *from, const char *end, struct pg_bus_url *url) {
    const char *colon;
    if (*from == '[') {
        const char *close = memchr(from, ']', (size_t)(end - from));
        if (!close || !copy(url->host, from + 1, close)) return false;
        if (close + 1 == end) return *url->host;
        if (close[1] != ':') return false;
        colon = close + 1;
    } else {
        colon = memchr(from, ':', (size_t)(end - from));
        if (!copy(url->host, from, colon ? colon : end)) return false;
    }
    if (colon && !number(colon + 1, end, 65535, &url->port)) return false;
    return *url->host && url->port > 0;
}

static const char *parse_tcp(const char *text, struct pg_bus_url *url) {
    const char *end = text + strlen(text);
    const char *slash = strchr(text, '/');
    const char *stop = slash ? slash : end;
    const char *at = NULL;
    for (const char *c = text; c < stop; c++)
        if (*c == '@') at = c;
    if (at && !parse_login(text, at, url))
        return "the part of the Redis URL before '@' must be user:password, :password or user, percent-encoded";
    if (!parse_host(at ? at + 1 : text, stop, url)) return "the Redis URL has no valid host or port";
    if (slash && slash + 1 < end && !number(slash + 1, end, DATABASE_MAX, &url->database))
        return "the database in the Redis URL must be a number, as in redis://localhost:6379/0";
    return NULL;
}

static const char *parse_unix(const char *text, struct pg_bus_url *url) {
    const char *end = text + strlen(text);
    const char *query = strchr(text, '?');
    if (text[0] != '/' || !copy(url->path, text, query ? query : end) || strlen(url->path) > 107)
        return "the Unix socket in the Redis URL must be an absolute path of at most 107 bytes, as in unix:/run/redis.sock";
    if (query && (strncmp(query, "?db=", 4) != 0 || !number(query + 4, end, DATABASE_MAX, &url->database)))
        return "behind the path of a Redis URL only ?db=NUMBER may stand";
    return NULL;
}

const char *pg_bus_url_parse(const char *text, struct pg_bus_url *url) {
    *url = (struct pg_bus_url){.port = DEFAULT_PORT};
    if (strncmp(text, "redis://", 8) == 0) return parse_tcp(text + 8, url);
    if (strncmp(text, "unix://", 7) == 0) return parse_unix(text + 7, url);
    if (strncmp(text, "unix:", 5) == 0) return parse_unix(text + 5, url);
    return "the Redis URL must begin with redis:// or unix:/";
}

const char *pg_bus_url_read_password(struct pg_bus_url *url, const char *path) {
    char text[PG_BUS_URL_TEXT + 3]; /* room for the end of the line, for one byte too many, and for a NUL */
    static const char too_long[] = "the password is longer than 255 bytes";
    const char *wrong = NULL;
    switch (pg_file_read(path, text, sizeof text)) {
    case PG_FILE_GOOD:
        if (!*text) wrong = "the file is empty";
        else if (!copy(url->password, text, text + strlen(text))) wrong = too_long;
        break;
    case PG_FILE_UNREADABLE: wrong = strerror(errno); break;
    case PG_FILE_TOO_LONG: wrong = too_long; break;
    case PG_FILE_NO_TEXT: wrong = "the file holds a NUL byte"; break;
    }
    explicit_bzero(text, sizeof text);
    return wrong;
}

int pg_bus_url_take(struct pg_bus_url *url, const struct pg_options *options, const char *const *text, const char *const *file) {
    const char *wrong = pg_bus_url_parse(*text, url);
    if (!wrong && *file && *url->password) wrong = "the password stands in the URL and in --redis-password-file: choose one";
    if (!wrong && !*file && *url->user && !*url->password)
        wrong = "there is a user and no password: write it as user:password, or into --redis-password-file";
    if (wrong) return pg_options_wrong(options, text, ": %s", wrong);
    wrong = *file ? pg_bus_url_read_password(url, *file) : NULL;
    if (wrong) return pg_options_wrong(options, file, " %s: %s", *file, wrong);
    return PG_OPTIONS_RUN;
}
