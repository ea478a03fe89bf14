/* The options of pg-handler. */
#ifndef PG_HANDLER_CONFIG_H
#define PG_HANDLER_CONFIG_H

#include "bus_url.h"
#include "log.h"
#include "options.h"

struct handler_config {
    const char *socket;
    bool share;
    const char *admin; /* or NULL */
    struct pg_bus_url redis;
    uint64_t max_in_flight;
    uint64_t max_tunnel_in_flight;
    uint64_t max_waiting;
    uint64_t max_header;
    uint64_t max_body; /* 0 = no limit */
    uint64_t wait_timeout_ms;
    uint64_t first_byte_timeout_ms;
    uint64_t path_timeout_ms;
    uint64_t drain_delay_ms;
    uint64_t drain_timeout_ms;
    bool log_requests;
};

/* Fills config and log from arguments, environment and file; texts may point into `found`. PG_OPTIONS_RUN, or the exit status. */
int handler_config_read(struct handler_config *config, struct pg_options_found *found, struct pg_log *log, int argc, char **argv);

#endif
