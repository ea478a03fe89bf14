#include "token.h"

#include "file.h"

#include <errno.h>
#include <jwt.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { LEEWAY = 60 };

const char *pg_secret_set(const char *text, struct pg_secret *secret) {
    size_t length = strlen(text);
    if (length < PG_SECRET_MIN) return "the secret is too short: it needs at least 16 bytes (make one with openssl rand -hex 32)";
    if (length > PG_SECRET_MAX) return "the secret is longer than 4096 bytes";
    memcpy(secret->bytes, text, length);
    secret->length = length;
    return NULL;
}

const char *pg_secret_read(const char *path, struct pg_secret *secret) {
    char text[PG_SECRET_MAX + 4]; /* room for the end of the line, for one byte too many, and for a NUL */
    const char *wrong = NULL;
    switch (pg_file_read(path, text, sizeof text)) {
    case PG_FILE_GOOD: wrong = pg_secret_set(text, secret); break;
    case PG_FILE_UNREADABLE: wrong = strerror(errno); break;
    case PG_FILE_TOO_LONG: wrong = "the secret is longer than 4096 bytes"; break;
    case PG_FILE_NO_TEXT: wrong = "the file holds a NUL byte"; break;
    }
    explicit_bzero(text, sizeof text);
    return wrong;
}

static bool fill(jwt_t *jwt, const struct pg_secret *secret, const struct pg_id *tunnel, uint64_t now, uint64_t ttl) {
    char uuid[PG_UUID_TEXT + 1];
    return jwt_add_grant(jwt, "iss", "pipegate") == 0 && jwt_add_grant(jwt, "aud", "pipegate") == 0 &&
           jwt_add_grant(jwt, "sub", pg_id_uuid(tunnel, uuid)) == 0 && jwt_add_grant_int(jwt, "nbf", (long)now) == 0 &&
           jwt_add_grant_int(jwt, "iat", (long)now) == 0 && jwt_add_grant_int(jwt, "exp", (long)(now + ttl)) == 0 &&
           jwt_set_alg(jwt, JWT_ALG_HS256, secret->bytes, (int)secret->length) == 0;
}

char *pg_token_make(const struct pg_secret *secret, const struct pg_id *tunnel, uint64_t now, uint64_t ttl) {
    jwt_t *jwt = NULL;
    if (jwt_new(&jwt) != 0) return NULL;
    char *token = fill(jwt, secret, tunnel, now, ttl) ? jwt_encode_str(jwt) : NULL;
    jwt_free(jwt);
    return token;
}

static bool grant_is(jwt_t *jwt, const char *name, const char *wanted) {
    const char *value = jwt_get_grant(jwt, name);
    return value && strcmp(value, wanted) == 0;
}

static const char *check_grants(jwt_t *jwt, const struct pg_id *tunnel, uint64_t now) {
    struct pg_id subject;
    const char *sub = jwt_get_grant(jwt, "sub");
    long exp = jwt_get_grant_int(jwt, "exp");
    errno = 0;
    long nbf = jwt_get_grant_int(jwt, "nbf");
    bool nbf_missing = errno == ENOENT; /* which is allowed; 0 is what libjwt makes of anything but a whole number */
    if (jwt_get_alg(jwt) != JWT_ALG_HS256) return "the token is not signed with HS256";
    if (!grant_is(jwt, "iss", "pipegate") || !grant_is(jwt, "aud", "pipegate")) return "the token is not for pipegate";
    if (exp <= 0) return "the token has no expiry";
    if ((uint64_t)exp + LEEWAY <= now) return "the token has expired";
    if (!nbf_missing && nbf <= 0) return "the token's beginning (nbf) is no time";
    if (!nbf_missing && (uint64_t)nbf > now + LEEWAY) return "the token is not valid yet";
    if (!sub || !pg_id_parse_uuid(sub, strlen(sub), &subject)) return "the token names no tunnel";
    if (!pg_id_equal(&subject, tunnel)) return "the token is for another tunnel";
    return NULL;
}

const char *pg_token_check(const struct pg_secret *secret, const char *token, const struct pg_id *tunnel, uint64_t now) {
    jwt_t *jwt = NULL;
    if (strlen(token) > PG_TOKEN_MAX) return "the token is too long";
    if (jwt_decode(&jwt, token, secret->bytes, (int)secret->length) != 0) return "the token is not signed by this server";
    const char *wrong = check_grants(jwt, tunnel, now);
    jwt_free(jwt);
    return wrong;
}
