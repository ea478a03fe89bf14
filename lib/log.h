/* One line an event, on stderr: human text or JSON. Safe to call from any thread: a line is one write(2). */
#ifndef PG_LOG_H
#define PG_LOG_H

#include "id.h"

enum pg_log_level { PG_LOG_ERROR, PG_LOG_WARN, PG_LOG_INFO, PG_LOG_DEBUG };

enum { PG_LOG_LINE_MAX = 2048 }; /* longer messages are cut */

struct pg_log {
    const char *program; /* borrowed */
    enum pg_log_level level;
    bool json;
};

/* A value of its own in a line: a member in JSON, "key=value" in text. */
struct pg_log_field {
    const char *key;
    const char *text; /* plain ASCII without spaces, or NULL: then it is the number */
    uint64_t number;
    bool is_us; /* the number is microseconds, and shown as seconds */
};

enum { PG_LOG_FIELDS_MAX = 8, PG_LOG_FIELD_MAX = 64 /* bytes of key and value in text; more is cut */ };

/* What a line is about; NULL and "" are left out. Everything is borrowed for the call. */
struct pg_log_about {
    const struct pg_id *tunnel;
    const struct pg_id *exchange;
    const char *peer; /* cut after 255 bytes */
    const struct pg_log_field *fields;
    size_t fields_count; /* at most PG_LOG_FIELDS_MAX */
};

/* Writes the line if `level` is at or above the log's. `about` may be NULL. Control characters in message and peer, and bytes
 * that are not UTF-8, come out as '?': what a peer sent must not be able to forge a line. Never pass a secret. */
void pg_log(const struct pg_log *log, enum pg_log_level level, const struct pg_log_about *about, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* "error", "warn", "info", "debug". False for anything else. */
bool pg_log_parse_level(const char *text, enum pg_log_level *level);

#endif
