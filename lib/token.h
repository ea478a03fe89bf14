/* The right to attach a tunnel: a JWT (RFC 7519) signed with HS256. libjwt does the cryptography and compares in constant time. */
#ifndef PG_TOKEN_H
#define PG_TOKEN_H

#include "id.h"

enum {
    PG_SECRET_MIN = 16, /* bytes; shorter ones are refused at start */
    PG_SECRET_MAX = 4096,
    PG_TOKEN_MAX = 4096 /* longer ones are refused unread */
};

struct pg_secret {
    unsigned char bytes[PG_SECRET_MAX];
    size_t length;
};

/* Reads the secret from a file (a trailing newline is not part of it). NULL, or what is wrong: words for the user, who is told the
 * path before them; good until the next strerror(3). */
const char *pg_secret_read(const char *path, struct pg_secret *secret);

/* The same from a text. */
const char *pg_secret_set(const char *text, struct pg_secret *secret);

/* Makes a token for the tunnel that is valid from now (Unix seconds) for `ttl` seconds. The caller frees it with free(3). NULL
 * when memory is out. */
char *pg_token_make(const struct pg_secret *secret, const struct pg_id *tunnel, uint64_t now, uint64_t ttl);

/* Checks signature, algorithm (HS256 and nothing else), iss, aud, sub = the tunnel, exp and nbf (60 s of leeway for clocks).
 * `token` ends in NUL. NULL when it is good, else a constant sentence that may be shown to the client: it tells nothing of the
 * secret. */
const char *pg_token_check(const struct pg_secret *secret, const char *token, const struct pg_id *tunnel, uint64_t now);

#endif
