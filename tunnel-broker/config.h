/* What `pg-broker` is told to do: options and environment, checked. */
#ifndef BROKER_CONFIG_H
#define BROKER_CONFIG_H

#include "bus_url.h"
#include "log.h"
#include "options.h"
#include "token.h"

/* Texts are borrowed from argv, the environment and what config_read found. */
struct config {
    const char *listen; /* NULL: the socket systemd passed */
    const char *admin;  /* NULL: the second socket systemd passed, if any */
    int sockets;        /* passed by systemd */
    bool share;         /* `listen` is served by others, too */
    struct pg_bus_url redis;
    const char *public_url; /* with {tunnel}, or NULL */
    bool open;              /* no tokens */
    struct pg_secret secret;
    uint64_t remember_ms;
    uint64_t ping_interval_ms;
    uint64_t drain_delay_ms;
    uint64_t drain_timeout_ms;
    uint64_t max_clients;
    uint64_t max_session_buffer;
};

/* Fills in `config`, whose texts may point into `found`, and the log's level and format. Returns PG_OPTIONS_RUN, or the exit status after --help or one
 * line on stderr that says what is wrong. */
int config_read(struct config *config, struct pg_options_found *found, struct pg_log *log, int argc, char **argv);

/* Reads the secret from `*file`, the value of the option --secret-file, else from PIPEGATE_JWT_SECRET; secret->length 0 where
 * neither is given. PG_OPTIONS_RUN, or the exit status after one line on stderr. */
int config_take_secret(const struct pg_options *options, const char *const *file, struct pg_secret *secret);

#endif
