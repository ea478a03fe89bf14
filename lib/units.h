/* Numbers as people write them in options. Each reads the whole text and returns false, *value untouched, for anything else:
 * no sign, no space, no overflow. */
#ifndef PG_UNITS_H
#define PG_UNITS_H

#include <stdbool.h>
#include <stdint.h>

/* "1500ms", "30s", "5m", "12h", "21d"; a bare number is seconds. In milliseconds. */
bool pg_parse_duration(const char *text, uint64_t *ms);

enum { PG_DURATION_TEXT = 24 };

/* The other way round, in the largest unit of which it is a whole number: "30s", "1500ms", "21d". Returns `to`. */
char *pg_duration_text(uint64_t ms, char to[PG_DURATION_TEXT]);

/* "65536", "48k", "10m", "2g" (powers of 1024, either case). In bytes. */
bool pg_parse_size(const char *text, uint64_t *bytes);

/* Decimal digits only. */
bool pg_parse_count(const char *text, uint64_t *count);

#endif
