/* The rules of HTTP that every field, method and target passes on its way through. Pure. */
#ifndef PG_HTTP_H
#define PG_HTTP_H

#include "wire.h"

/* A token of RFC 9110 5.6.2, at least one character: methods and field names. */
bool pg_http_is_token(const char *text, size_t length);

/* A field value as it may be passed on: no CR, LF or NUL (RFC 9110 5.5). Other control bytes and 0x80-0xff pass: old services
 * send them, and they cannot change the framing. */
bool pg_http_is_value(const char *text, size_t length);

/* A request target as it may be passed on: at least one character, no control byte, no space, no DEL. Bytes from 0x80 pass. */
bool pg_http_is_target(const char *text, size_t length);

/* Case-insensitive comparison of a field name with a lower-case constant. */
bool pg_http_name_is(const struct pg_field *field, const char *lower);

/* Is this one of the hop-by-hop fields that are never passed on (RFC 9110 7.6.1 and DESIGN section 6): Connection, Keep-Alive,
 * Proxy-Connection, Proxy-Authenticate, Proxy-Authorization, TE, Trailer, Transfer-Encoding, Upgrade, Expect? */
bool pg_http_is_hop_by_hop(const struct pg_field *field);

/* Does the comma-separated list `list` (a Connection value) name this field? */
bool pg_http_list_names(const char *list, size_t list_length, const struct pg_field *field);

enum { PG_HTTP_NAMED_MAX = 64 };

/* Removes, in place, the hop-by-hop fields and those that a Connection field among them names. Returns the new count. Of what
 * Connection names, the first PG_HTTP_NAMED_MAX are looked at: a head made of nothing else must not cost a fifth of a second. */
size_t pg_http_strip_hop_by_hop(struct pg_field *fields, size_t count);

/* May the method be repeated without harm (RFC 9110 9.2.2: GET, HEAD, OPTIONS, TRACE, PUT, DELETE)? Case-sensitive. */
bool pg_http_is_idempotent(const char *method, size_t length);

/* Is it HEAD, whose response has no body? Case-sensitive (RFC 9110 9.1). */
bool pg_http_is_head(const char *method, size_t length);

/* Reads a Content-Length: digits only, at most 2^63-1. */
bool pg_http_parse_length(const char *text, size_t length, uint64_t *value);

#endif
