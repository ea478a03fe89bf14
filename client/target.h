/* The local service: --port or --target. Pure. */
#ifndef CLIENT_TARGET_H
#define CLIENT_TARGET_H

#include <stdbool.h>
#include <stddef.h>

struct target {
    char name[320];     /* for people: "http://localhost:3000", "unix:/run/app.sock" */
    char base_url[300]; /* for libcurl: scheme, host and port, then "/" */
    char host[280];     /* the Host field: with the port, where it is not the scheme's own */
    char socket[108];   /* path of a Unix socket; "" = TCP */
    char prefix[1024];  /* put before each request's target: "" or "/some/path" */
    bool tls;
};

/* Reads http://HOST[:PORT][/PREFIX], https://... or unix:PATH. NULL, or what is wrong with it: a constant sentence. */
const char *target_parse(const char *text, struct target *target);

/* http://localhost:PORT. */
void target_from_port(unsigned port, struct target *target);

#endif
