#include "config.h"

#include "address.h"
#include "bus.h"
#include "service.h"
#include "wire.h"

#include <stdlib.h>
#include <string.h>

#define SECRET_VARIABLE "PIPEGATE_JWT_SECRET"

static const char usage[] = "pg-broker --listen HOST:PORT|unix:PATH --redis URL (--secret-file FILE | --open)\n"
                            "pg-broker token --tunnel UUID [--ttl 21d] [--secret-file FILE]\n";
static const char about[] =
    "Holds the clients' WebSockets and moves messages between them and Redis; or prints a token for a client.\n";

static const char notes[] =
    "The secret may also stand in " SECRET_VARIABLE ". Started by systemd with sockets, the first of them is\n"
    "--listen and the second, if any, --admin. `pg-broker token --help` tells of tokens.\n";

static const char *secret_variable(void) {
    const char *text = getenv(SECRET_VARIABLE);
    return text && *text ? text : NULL;
}

int config_take_secret(const struct pg_options *options, const char *const *file, struct pg_secret *secret) {
    const char *text = *file ? NULL : secret_variable();
    secret->length = 0;
    const char *wrong = *file ? pg_secret_read(*file, secret) : text ? pg_secret_set(text, secret) : NULL;
    if (wrong && text) return pg_options_error(options, SECRET_VARIABLE ": %s", wrong);
    if (wrong) return pg_options_wrong(options, file, " %s: %s", *file, wrong);
    return PG_OPTIONS_RUN;
}

/* Whoever says both may have meant either, and one of them lets everybody in. */
static int check_open(const struct pg_options *options, const struct config *config, const char *const *secret_file) {
    if (config->open && *secret_file) return pg_options_exclude(options, &config->open, secret_file);
    if (config->open && secret_variable())
        return pg_options_wrong(options, &config->open, " and " SECRET_VARIABLE " exclude each other");
    return PG_OPTIONS_RUN;
}

static int check_addresses(const struct pg_options *options, const struct config *config) {
    if (!config->listen && config->sockets < 1)
        return pg_options_error(options, "--listen HOST:PORT or --listen unix:PATH is needed");
    const char *wrong = config->listen ? pg_address_check(config->listen) : NULL;
    if (wrong) return pg_options_wrong(options, &config->listen, ": %s, not \"%s\"", wrong, config->listen);
    if (config->share && (!config->listen || !pg_address_path(config->listen)))
        return pg_options_wrong(options, &config->share, " needs --listen unix:PATH");
    wrong = config->admin ? pg_address_check(config->admin) : NULL;
    if (wrong) return pg_options_wrong(options, &config->admin, ": %s, not \"%s\"", wrong, config->admin);
    return PG_OPTIONS_RUN;
}

static int check(const struct pg_options *options, const struct config *config) {
    if (config->public_url && !strstr(config->public_url, "{tunnel}"))
        return pg_options_wrong(options, &config->public_url, " must hold {tunnel}, as in https://example.com/{tunnel}/");
    if (config->public_url && strlen(config->public_url) > PG_URL_MAX - PG_UUID_TEXT)
        return pg_options_wrong(options, &config->public_url, " is longer than %d bytes", PG_URL_MAX - PG_UUID_TEXT);
    if (!config->open && config->secret.length == 0)
        return pg_options_error(options, "a secret is needed: --secret-file FILE or " SECRET_VARIABLE
                                         ", or --open to let anyone attach any tunnel");
    return PG_OPTIONS_RUN;
}

int config_read(struct config *config, struct pg_options_found *found, struct pg_log *log, int argc, char **argv) {
    const char *redis = "redis://127.0.0.1:6379", *redis_password_file = NULL, *secret_file = NULL;
    *config = (struct config){.remember_ms = 3600 * 1000,
                              .ping_interval_ms = 20 * 1000,
                              .drain_timeout_ms = 10 * 1000,
                              .max_clients = 20000,
                              .max_session_buffer = 64 * 1024 * 1024};
    /* clang-format off */
    const struct pg_option table[] = {
        {.name = "listen", .kind = PG_OPTION_TEXT, .value = &config->listen, .argument = "ADDRESS",
         .help = "where clients attach: HOST:PORT, [IPV6]:PORT or unix:PATH (mode 0660)"},
        {.name = "share", .kind = PG_OPTION_FLAG, .value = &config->share,
         .help = "serve unix:PATH together with others that share it: none of them is missed"},
        {.name = "redis", .kind = PG_OPTION_TEXT, .value = &redis, .argument = "URL",
         .help = "redis://[user[:pass]@]host[:port][/db] or unix:/path (redis://127.0.0.1:6379)"},
        {.name = "redis-password-file", .kind = PG_OPTION_TEXT, .value = &redis_password_file, .argument = "FILE",
         .help = "Redis' password is in FILE, and not in the URL"},
        {.name = "secret-file", .kind = PG_OPTION_TEXT, .value = &secret_file, .argument = "FILE",
         .help = "what tokens are signed with; at least 16 bytes"},
        {.name = "open", .kind = PG_OPTION_FLAG, .value = &config->open,
         .help = "no tokens: anyone may attach any tunnel"},
        {.name = "admin", .kind = PG_OPTION_TEXT, .value = &config->admin, .argument = "ADDRESS",
         .help = "where /-/healthz, readyz and metrics are served; keep it private (none)"},
        {.name = "public-url", .kind = PG_OPTION_TEXT, .value = &config->public_url, .argument = "TEMPLATE",
         .help = "what clients are told: https://example.com/{tunnel}/ (none)"},
        {.name = "remember", .kind = PG_OPTION_DURATION, .value = &config->remember_ms, .argument = "TIME",
         .help = "how long visitors wait for a tunnel whose client went, before it is unknown (1h)", .min = PG_BUS_ALIVE_MS,
         .max = 365ull * 86400 * 1000},
        {.name = "ping-interval", .kind = PG_OPTION_DURATION, .value = &config->ping_interval_ms, .argument = "TIME",
         .help = "a client that was silent so long is pinged, and dropped if it does not answer (20s)", .min = 100,
         .max = 3600 * 1000},
        {.name = "drain-delay", .kind = PG_OPTION_DURATION, .value = &config->drain_delay_ms, .argument = "TIME",
         .help = "on SIGTERM, how long /-/readyz says 503 before clients are sent away (0s)", .max = 3600 * 1000},
        {.name = "drain-timeout", .kind = PG_OPTION_DURATION, .value = &config->drain_timeout_ms, .argument = "TIME",
         .help = "how long clients then may take to attach elsewhere (10s)", .max = 3600 * 1000},
        {.name = "max-clients", .kind = PG_OPTION_COUNT, .value = &config->max_clients, .argument = "N",
         .help = "more are refused with 503 (20000)", .min = 1, .max = 1000000},
        {.name = "max-session-buffer", .kind = PG_OPTION_SIZE, .value = &config->max_session_buffer, .argument = "SIZE",
         .help = "a client for which more waits is dropped (64m)", .min = 1024 * 1024, .max = 1ull << 40},
    };
    /* clang-format on */
    const struct pg_options options = {.program = "pg-broker",
                                       .usage = usage,
                                       .about = about,
                                       .notes = notes,
                                       .table = table,
                                       .count = sizeof table / sizeof *table,
                                       .log = log,
                                       .found = found};
    int status = pg_options_parse(&options, argc, argv);
    if (status != PG_OPTIONS_RUN) return status;
    config->sockets = pg_service_sockets();
    status = check_addresses(&options, config);
    if (status == PG_OPTIONS_RUN) status = pg_bus_url_take(&config->redis, &options, &redis, &redis_password_file);
    if (status == PG_OPTIONS_RUN) status = check_open(&options, config, &secret_file);
    if (status == PG_OPTIONS_RUN) status = config_take_secret(&options, &secret_file, &config->secret);
    return status == PG_OPTIONS_RUN ? check(&options, config) : status;
}
