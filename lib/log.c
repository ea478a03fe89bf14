#include "log.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const level_names[] = {"error", "warn", "info", "debug"};

bool pg_log_parse_level(const char *text, enum pg_log_level *level) {
    for (size_t i = 0; i < sizeof level_names / sizeof *level_names; i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *level = (enum pg_log_level)i;
            return true;
        }
    }
    return false;
}

/* A line holds the longest message and peer even where JSON doubles every byte of them, and the rest of it. */
enum {
    PEER_MAX = 256,
    FIELDS_SIZE = PG_LOG_FIELDS_MAX * PG_LOG_FIELD_MAX,
    LINE_SIZE = 2 * (PG_LOG_LINE_MAX + PEER_MAX + FIELDS_SIZE) + 512
};

/* A line's parts, as clean text. */
struct line {
    const char *level;
    char when[32], tunnel[PG_UUID_TEXT + 1], exchange[PG_UUID_TEXT + 1], peer[PEER_MAX], message[PG_LOG_LINE_MAX];
    const struct pg_log_field *fields;
    size_t fields_count;
};

static void timestamp(char *to, size_t size) {
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t used = strftime(to, size, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(to + used, size - used, ".%03ldZ", now.tv_nsec / 1000000);
}

static void write_line(const char *line, size_t length) {
    /* A log that cannot be written is nobody's reason to stop. */
    ssize_t written = write(STDERR_FILENO, line, length);
    (void)written;
}

static void set_string(json_t *object, const char *key, const char *value) {
    json_object_set_new(object, key, json_string(value)); /* clean() has made it UTF-8; without memory it is left out */
}

static void set_field(json_t *object, const struct pg_log_field *field) {
    if (field->text) set_string(object, field->key, field->text);
    else if (field->is_us) json_object_set_new(object, field->key, json_real((double)field->number / 1e6));
    else json_object_set_new(object, field->key, json_integer((json_int_t)field->number));
}

static void write_json(const struct pg_log *log, const struct line *line) {
    json_t *object = json_object();
    set_string(object, "time", line->when);
    set_string(object, "level", line->level);
    set_string(object, "program", log->program);
    if (*line->tunnel) set_string(object, "tunnel", line->tunnel);
    if (*line->exchange) set_string(object, "exchange", line->exchange);
    if (*line->peer) set_string(object, "peer", line->peer);
    for (size_t i = 0; i < line->fields_count; i++) set_field(object, &line->fields[i]);
    set_string(object, "message", line->message);
    char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(object);
    if (!text) return;
    char bytes[LINE_SIZE];
    int length = snprintf(bytes, sizeof bytes, "%s\n", text);
    free(text);
    if (length > 0 && (size_t)length < sizeof bytes) write_line(bytes, (size_t)length);
}

static void add_field(char *to, const struct pg_log_field *field) {
    unsigned long long number = field->number;
    if (field->text) snprintf(to, PG_LOG_FIELD_MAX, " %s=%s", field->key, field->text);
    else if (field->is_us) snprintf(to, PG_LOG_FIELD_MAX, " %s=%llu.%06llu", field->key, number / 1000000, number % 1000000);
    else snprintf(to, PG_LOG_FIELD_MAX, " %s=%llu", field->key, number);
}

static void write_text(const struct pg_log *log, const struct line *line) {
    char bytes[LINE_SIZE], fields[FIELDS_SIZE] = "";
    for (size_t i = 0; i < line->fields_count; i++) add_field(fields + strlen(fields), &line->fields[i]);
    int length = snprintf(bytes, sizeof bytes, "%s %s %s: %s%s%s%s%s%s%s%s\n", line->when, line->level, log->program, line->message,
                          fields, *line->tunnel ? " tunnel=" : "", line->tunnel, *line->exchange ? " exchange=" : "",
                          line->exchange, *line->peer ? " peer=" : "", line->peer);
    if (length > 0 && (size_t)length < sizeof bytes) write_line(bytes, (size_t)length);
}

/* Length of the UTF-8 character (RFC 3629) at `c`, which ends in NUL somewhere; 0 when there is none, or when it is a control
 * character: also those of U+0080-U+009F steer terminals. */
static size_t character(const unsigned char *c) {
    static const unsigned least[] = {0, 0x20, 0xa0, 0x800, 0x10000};
    size_t length = c[0] < 0x80 ? 1 : c[0] < 0xc0 ? 0 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : c[0] < 0xf8 ? 4 : 0;
    if (length == 1) return c[0] >= 0x20 && c[0] != 0x7f;
    unsigned code = length ? c[0] & (0x7fu >> length) : 0;
    for (size_t i = 1; i < length; i++) {
        if ((c[i] & 0xc0) != 0x80) return 0;
        code = code << 6 | (c[i] & 0x3f);
    }
    bool good = code >= least[length] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
    return good ? length : 0;
}

static void clean(char *text) {
    while (*text) {
        size_t length = character((const unsigned char *)text);
        if (length == 0) *text = '?';
        text += length ? length : 1;
    }
}

void pg_log(const struct pg_log *log, enum pg_log_level level, const struct pg_log_about *about, const char *format, ...) {
    if (level > log->level) return;
    struct line line = {.level = level_names[level]};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line.message, sizeof line.message, format, arguments);
    va_end(arguments);
    clean(line.message);
    timestamp(line.when, sizeof line.when);
    if (about) {
        if (about->peer) snprintf(line.peer, sizeof line.peer, "%s", about->peer);
        clean(line.peer);
        if (about->tunnel) pg_id_uuid(about->tunnel, line.tunnel);
        if (about->exchange) pg_id_uuid(about->exchange, line.exchange);
        line.fields = about->fields;
        line.fields_count = about->fields_count < PG_LOG_FIELDS_MAX ? about->fields_count : PG_LOG_FIELDS_MAX;
    }
    (log->json ? write_json : write_text)(log, &line);
}
