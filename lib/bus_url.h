/* Where Redis is. */
#ifndef PG_BUS_URL_H
#define PG_BUS_URL_H

#include "options.h"

enum { PG_BUS_URL_TEXT = 256 };

struct pg_bus_url {
    char path[PG_BUS_URL_TEXT]; /* of the Unix socket, or "" */
    char host[PG_BUS_URL_TEXT]; /* without brackets */
    int port;
    char user[PG_BUS_URL_TEXT]; /* "" = none */
    char password[PG_BUS_URL_TEXT];
    int database;
};

/* Reads redis://[[user][:password]@]host[:port][/db] (user and password percent-encoded, RFC 3986; an IPv6 host in brackets) or
 * unix:/path[?db=n]. NULL, or a constant sentence that says what is wrong and never repeats the URL: it may hold a password. */
const char *pg_bus_url_parse(const char *text, struct pg_bus_url *url);

/* Takes the password from a file (a line end behind it is not part of it). NULL, or what is wrong, good
 * until the next strerror(3). */
const char *pg_bus_url_read_password(struct pg_bus_url *url, const char *path);

/* Both, of the options --redis (`text`) and --redis-password-file (`file`, NULL = not given; it is read once): PG_OPTIONS_RUN, or
 * PG_EXIT_USAGE after telling what is wrong. */
int pg_bus_url_take(struct pg_bus_url *url, const struct pg_options *options, const char *const *text, const char *const *file);

#endif
