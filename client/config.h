/* The command line and the environment of pg-client. */
#ifndef CLIENT_CONFIG_H
#define CLIENT_CONFIG_H

#include "local_request.h"
#include "options.h"
#include "server_url.h"
#include "target.h"

enum { CONFIG_TOKEN_MAX = 4096 };

struct config {
    struct pg_log log;
    struct server_url server;
    struct target target;
    const char *token_file;           /* that can be read again, or NULL */
    char token[CONFIG_TOKEN_MAX + 1]; /* "" = none */
    const char *ca;                   /* or NULL */
    bool insecure;
    bool target_insecure;
    enum local_host host;
    const char *host_value;
    bool quiet;
    uint64_t max_concurrent;
    uint64_t connect_timeout_ms;
};

/* PG_OPTIONS_RUN, or the exit status. The config borrows from argv, the environment and `found`. */
int config_parse(struct config *config, struct pg_options_found *found, int argc, char **argv);

/* Reads --token-file again, where there is one: a token may be renewed while the client runs. Keeps the old one and
 * returns what is wrong (good until the next strerror(3)) when that fails, else NULL. */
const char *config_reload_token(struct config *config);

#endif
