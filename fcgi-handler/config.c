#include "config.h"

#include "address.h"
#include "wire.h"

static const char usage[] = "pg-handler --socket PATH --redis URL [options]\n";
static const char about[] =
    "Takes visitors' requests from a web server by FastCGI and passes them through Redis to the clients of their\n"
    "tunnels. Without --socket it listens on the socket that systemd passed, or on descriptor 0.\n";

static const char notes[] =
    "Under the path prefix of the tunnels it answers /-/healthz (200 only when Redis answers), /-/readyz (that, and not\n"
    "about to end) and /-/metrics itself, and at --admin without a prefix: of several that share a socket, that is this one.\n"
    "The FastCGI parameter PIPEGATE_PREFIX names a path prefix before the tunnel's id (none by default).\n";

static int check(const struct pg_options *options, struct handler_config *config) {
    const char *path = config->socket ? pg_address_path(config->socket) : NULL;
    if (path) config->socket = path; /* unix:PATH, as it is written elsewhere */
    if (config->share && !config->socket) return pg_options_wrong(options, &config->share, " needs --socket PATH");
    const char *wrong = config->admin ? pg_address_check(config->admin) : NULL;
    if (wrong) return pg_options_wrong(options, &config->admin, ": %s, not \"%s\"", wrong, config->admin);
    return PG_OPTIONS_RUN;
}

int handler_config_read(struct handler_config *config, struct pg_options_found *found, struct pg_log *log, int argc, char **argv) {
    const char *redis = "redis://127.0.0.1:6379", *redis_password_file = NULL;
    *config = (struct handler_config){.max_in_flight = 10000,
                                      .max_tunnel_in_flight = 8192,
                                      .max_waiting = 8192,
                                      .max_header = PG_HEAD_MAX,
                                      .wait_timeout_ms = 30000,
                                      .first_byte_timeout_ms = 300000,
                                      .path_timeout_ms = 60000,
                                      .drain_timeout_ms = 30000};
    const uint64_t day = 86400000;
    /* clang-format off */
    const struct pg_option table[] = {
        {.name = "socket", .kind = PG_OPTION_TEXT, .value = &config->socket, .argument = "PATH",
         .help = "Unix socket to listen on, mode 0660"},
        {.name = "share", .kind = PG_OPTION_FLAG, .value = &config->share,
         .help = "serve it together with others that share it: none of them is missed"},
        {.name = "redis", .kind = PG_OPTION_TEXT, .value = &redis, .argument = "URL",
         .help = "redis://[user[:pass]@]host[:port][/db] or unix:/path (redis://127.0.0.1:6379)"},
        {.name = "redis-password-file", .kind = PG_OPTION_TEXT, .value = &redis_password_file, .argument = "FILE",
         .help = "Redis' password is in FILE, and not in the URL"},
        {.name = "admin", .kind = PG_OPTION_TEXT, .value = &config->admin, .argument = "ADDRESS",
         .help = "HOST:PORT or unix:PATH where its pages are served by HTTP, too; keep it private (none)"},
        {.name = "max-in-flight", .kind = PG_OPTION_COUNT, .value = &config->max_in_flight, .argument = "N",
         .help = "requests in flight; more get 503 (10000)", .min = 1, .max = 100000},
        {.name = "max-tunnel-in-flight", .kind = PG_OPTION_COUNT, .value = &config->max_tunnel_in_flight,
         .argument = "N", .help = "the same for each tunnel (8192)", .min = 1, .max = 100000},
        {.name = "max-waiting", .kind = PG_OPTION_COUNT, .value = &config->max_waiting, .argument = "N",
         .help = "requests waiting for a tunnel's client; more get 503 (8192)", .min = 1, .max = 100000},
        {.name = "max-header", .kind = PG_OPTION_SIZE, .value = &config->max_header, .argument = "BYTES",
         .help = "target and header fields together; more gets 431 (48k)", .min = 1024, .max = PG_HEAD_MAX},
        {.name = "max-body", .kind = PG_OPTION_SIZE, .value = &config->max_body, .argument = "BYTES",
         .help = "request body; more gets 413; 0 = no limit (0)"},
        {.name = "wait-timeout", .kind = PG_OPTION_DURATION, .value = &config->wait_timeout_ms, .argument = "TIME",
         .help = "how long a request waits for an absent client (30s)", .min = 1, .max = day},
        {.name = "first-byte-timeout", .kind = PG_OPTION_DURATION, .value = &config->first_byte_timeout_ms,
         .argument = "TIME", .help = "how long the local service may take to respond (300s)", .min = 1, .max = day},
        {.name = "path-timeout", .kind = PG_OPTION_DURATION, .value = &config->path_timeout_ms, .argument = "TIME",
         .help = "how long a request survives without Redis or its client's path (60s)", .min = 1, .max = day},
        {.name = "drain-delay", .kind = PG_OPTION_DURATION, .value = &config->drain_delay_ms, .argument = "TIME",
         .help = "on SIGTERM, how long /-/readyz says 503 before nothing new is taken (0s)", .min = 0, .max = day},
        {.name = "drain-timeout", .kind = PG_OPTION_DURATION, .value = &config->drain_timeout_ms, .argument = "TIME",
         .help = "how long SIGTERM then waits for requests in flight (30s)", .min = 0, .max = day},
        {.name = "log-requests", .kind = PG_OPTION_FLAG, .value = &config->log_requests,
         .help = "a line for each request that is over: visitor, status, bytes, seconds"},
    };
    /* clang-format on */
    const struct pg_options options = {.program = "pg-handler",
                                       .usage = usage,
                                       .about = about,
                                       .notes = notes,
                                       .table = table,
                                       .count = sizeof table / sizeof *table,
                                       .log = log,
                                       .found = found};
    *log = (struct pg_log){.program = "pg-handler", .level = PG_LOG_INFO};
    int status = pg_options_parse(&options, argc, argv);
    if (status != PG_OPTIONS_RUN) return status;
    status = check(&options, config);
    return status == PG_OPTIONS_RUN ? pg_bus_url_take(&config->redis, &options, &redis, &redis_password_file) : status;
}
