#include "config.h"

#include "file.h"
#include "http.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What the options say, before it is understood. */
struct raw {
    uint64_t port;
    const char *target, *server_url, *token, *token_file, *ca, *host_header;
};

static const char usage[] = "pg-client --port PORT --server-url wss://HOST/UUID [--token TOKEN]\n"
                            "pg-client --target https://localhost:8443 --server-url wss://HOST\n"
                            "pg-client --target unix:/run/app.sock --server-url wss://HOST/UUID\n";

static const char about[] =
    "Makes a local service public: visitors of https://HOST/UUID/ reach it while this runs. Without a UUID one is made.\n";

static const char notes[] =
    "Exit status: 0 after SIGINT or SIGTERM, 2 when an option is wrong, 3 when the server refuses the token or "
    "another\n"
    "client has the tunnel. Everything else is tried again, for ever.\n";

static const char *check_token(const char *token) {
    if (strlen(token) > CONFIG_TOKEN_MAX) return "it is too long";
    if (!pg_http_is_target(token, strlen(token))) return "it is empty or has a space or a line end in it";
    return NULL;
}

static const char *read_token(const char *path, char *token) {
    char text[CONFIG_TOKEN_MAX + 4]; /* room for the end of the line, for one byte too many, and for a NUL */
    const char *wrong = NULL;
    switch (pg_file_read(path, text, sizeof text)) {
    case PG_FILE_GOOD:
        wrong = check_token(text);
        if (!wrong) strcpy(token, text);
        return wrong;
    case PG_FILE_UNREADABLE: wrong = strerror(errno); break;
    case PG_FILE_TOO_LONG: wrong = "it is too long"; break;
    case PG_FILE_NO_TEXT: wrong = "it is no text"; break;
    }
    return wrong;
}

const char *config_reload_token(struct config *config) {
    return config->token_file ? read_token(config->token_file, config->token) : NULL;
}

/* Where --token was given, other users could read it from the process list for as long as this runs. */
static void hide_token(const char *token, int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        size_t length = strlen(argv[i]);
        if (token >= argv[i] && token <= argv[i] + length) memset(argv[i] + (token - argv[i]), '*', strlen(token));
    }
}

static int take_token(struct config *config, const struct pg_options *options, const struct raw *raw) {
    if (raw->token && raw->token_file) return pg_options_exclude(options, &raw->token, &raw->token_file);
    const char *wrong = NULL;
    config->token_file = raw->token_file && pg_file_is_regular(raw->token_file) ? raw->token_file : NULL;
    if (raw->token) {
        wrong = check_token(raw->token);
        if (wrong) return pg_options_wrong(options, &raw->token, " is no token: %s", wrong);
        memcpy(config->token, raw->token, strlen(raw->token) + 1);
    } else if (raw->token_file) {
        wrong = read_token(raw->token_file, config->token);
        if (wrong) return pg_options_wrong(options, &raw->token_file, " \"%s\": %s", raw->token_file, wrong);
    }
    return PG_OPTIONS_RUN;
}

static int take_target(struct config *config, const struct pg_options *options, const struct raw *raw) {
    if (!raw->port && !raw->target) return pg_options_error(options, "say what to expose: --port or --target");
    if (raw->port && raw->target) return pg_options_exclude(options, &raw->port, &raw->target);
    if (raw->port) target_from_port((unsigned)raw->port, &config->target);
    const char *wrong = raw->target ? target_parse(raw->target, &config->target) : NULL;
    if (wrong) return pg_options_wrong(options, &raw->target, " \"%s\": %s", raw->target, wrong);
    config->host = LOCAL_HOST_TARGET;
    if (!raw->host_header) return PG_OPTIONS_RUN;
    config->host = strcmp(raw->host_header, "visitor") == 0 ? LOCAL_HOST_VISITOR : LOCAL_HOST_VALUE;
    config->host_value = raw->host_header;
    if (!pg_http_is_target(raw->host_header, strlen(raw->host_header)))
        return pg_options_wrong(options, &raw->host_header, " is empty or has a space or a control character in it");
    return PG_OPTIONS_RUN;
}

/* libcurl reads it anew with every connection, in the same way. */
static const char *check_ca(const char *path) {
    if (access(path, R_OK) != 0) return strerror(errno);
    if (!pg_file_is_regular(path)) return "it must be a file, which is read again with every connection";
    X509_STORE *store = X509_STORE_new();
    bool good = store && X509_STORE_load_locations(store, path, NULL) == 1;
    X509_STORE_free(store);
    ERR_clear_error();
    return good ? NULL : "there is no certificate in it (PEM: -----BEGIN CERTIFICATE-----)";
}

static int take_server(struct config *config, const struct pg_options *options, const struct raw *raw) {
    if (!raw->server_url) return pg_options_error(options, "say where to attach: --server-url wss://HOST/UUID");
    const char *wrong = server_url_parse(raw->server_url, &config->server);
    if (wrong) return pg_options_wrong(options, &raw->server_url, " \"%s\": %s", raw->server_url, wrong);
    config->ca = raw->ca;
    wrong = raw->ca ? check_ca(raw->ca) : NULL;
    if (wrong) return pg_options_wrong(options, &raw->ca, " \"%s\": %s", raw->ca, wrong);
    return PG_OPTIONS_RUN;
}

int config_parse(struct config *config, struct pg_options_found *found, int argc, char **argv) {
    struct raw raw = {0};
    *config = (struct config){
        .log = {.program = "pg-client", .level = PG_LOG_INFO}, .max_concurrent = 10000, .connect_timeout_ms = 10000};
    /* clang-format off */
    const struct pg_option table[] = {
        {.name = "port", .kind = PG_OPTION_COUNT, .value = &raw.port, .argument = "PORT", .min = 1, .max = 65535,
         .help = "expose http://localhost:PORT"},
        {.name = "target", .kind = PG_OPTION_TEXT, .value = &raw.target, .argument = "URL",
         .help = "expose http(s)://HOST[:PORT][/PATH] or unix:PATH"},
        {.name = "server-url", .kind = PG_OPTION_TEXT, .value = &raw.server_url, .argument = "URL", .alias = "server_url",
         .help = "where to attach: wss://HOST[:PORT][/PATH][/UUID] (ws:// without TLS)"},
        {.name = "token", .kind = PG_OPTION_TEXT, .value = &raw.token, .argument = "TOKEN",
         .help = "the right to attach (better in PIPEGATE_TOKEN or a file)"},
        {.name = "token-file", .kind = PG_OPTION_TEXT, .value = &raw.token_file, .argument = "FILE",
         .help = "read it from FILE, again at each connect (a pipe: once)"},
        {.name = "ca", .kind = PG_OPTION_TEXT, .value = &raw.ca, .argument = "FILE",
         .help = "trust these certificates (PEM) for the server, not the system's"},
        {.name = "insecure", .kind = PG_OPTION_FLAG, .value = &config->insecure,
         .help = "trust any certificate of the server"},
        {.name = "target-insecure", .kind = PG_OPTION_FLAG, .value = &config->target_insecure,
         .help = "trust any certificate of the local service"},
        {.name = "host-header", .kind = PG_OPTION_TEXT, .value = &raw.host_header, .argument = "VALUE",
         .help = "Host for the local service: VALUE, or \"visitor\" (the target's)"},
        {.name = "quiet", .kind = PG_OPTION_FLAG, .value = &config->quiet, .help = "no line for each request"},
        {.name = "max-concurrent", .kind = PG_OPTION_COUNT, .value = &config->max_concurrent, .argument = "N", .min = 1,
         .max = 60000, .help = "requests in flight at once; more get 503 (10000)"},
        {.name = "connect-timeout", .kind = PG_OPTION_DURATION, .value = &config->connect_timeout_ms, .argument = "TIME",
         .min = 1, .max = 600000, .help = "for a connection to the local service (10s)"},
    };
    /* clang-format on */
    struct pg_options options = {.program = "pg-client",
                                 .usage = usage,
                                 .about = about,
                                 .notes = notes,
                                 .table = table,
                                 .count = sizeof table / sizeof *table,
                                 .log = &config->log,
                                 .found = found};
    int status = pg_options_parse(&options, argc, argv);
    if (status == PG_OPTIONS_RUN) status = take_target(config, &options, &raw);
    if (status == PG_OPTIONS_RUN) status = take_server(config, &options, &raw);
    if (status == PG_OPTIONS_RUN) status = take_token(config, &options, &raw);
    if (raw.token) hide_token(raw.token, argc, argv);
    return status;
}
