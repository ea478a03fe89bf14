/* 128-bit identifiers: tunnels and exchanges (UUIDs, RFC 9562), processes and instances (random). */
#ifndef PG_ID_H
#define PG_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PG_ID_SIZE = 16,
    PG_ID_HEX = 32,   /* hexadecimal digits, without a NUL */
    PG_UUID_TEXT = 36 /* 8-4-4-4-12, without a NUL */
};

struct pg_id {
    uint8_t bytes[PG_ID_SIZE];
};

/* A random UUID version 4 from the kernel (getrandom(2)). Aborts if the kernel has no randomness: nothing safe can follow. */
struct pg_id pg_id_random(void);

/* Random ids for a place that needs one for every request: as many from one system call as the kernel gives without fail (256 bytes,
 * getrandom(2)). Zero-initialise. */
enum { PG_ID_POOL = 256 / PG_ID_SIZE };
struct pg_id_pool {
    struct pg_id ids[PG_ID_POOL];
    unsigned left;
};

/* The next id, as from pg_id_random. */
struct pg_id pg_id_pool_take(struct pg_id_pool *pool);

bool pg_id_equal(const struct pg_id *a, const struct pg_id *b);
bool pg_id_is_zero(const struct pg_id *id);

/* Reads exactly the 36 characters of a UUID, in either case of letters; any version, for users bring their own.
 * `text` need not end in NUL. False, and *id untouched, when it is anything else. */
bool pg_id_parse_uuid(const char *text, size_t length, struct pg_id *id);

/* Reads exactly 32 hexadecimal digits, in either case. False, and *id untouched, when it is anything else. */
bool pg_id_parse_hex(const char *text, size_t length, struct pg_id *id);

/* Write lower-case text and a NUL: `to` has PG_UUID_TEXT + 1, PG_ID_HEX + 1 bytes. Both return `to`. */
char *pg_id_uuid(const struct pg_id *id, char to[PG_UUID_TEXT + 1]);
char *pg_id_hex(const struct pg_id *id, char to[PG_ID_HEX + 1]);

#endif
