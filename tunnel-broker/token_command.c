#include "token_command.h"

#include "clock.h"
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] = "pg-broker token --tunnel UUID [--ttl 21d] [--secret-file FILE]\n";
static const char about[] = "Prints a token, the right to attach a tunnel, and nothing else.\n";
static const char notes[] = "The secret, the broker's, may also stand in PIPEGATE_JWT_SECRET; or give the broker's --config file.\n"
                            "pg-client takes the token by --token, --token-file or PIPEGATE_TOKEN.\n";

static int print_token(const struct pg_secret *secret, const struct pg_id *tunnel, uint64_t ttl_ms) {
    char *token = pg_token_make(secret, tunnel, pg_clock_unix_ms() / 1000, ttl_ms / 1000);
    if (!token) {
        fprintf(stderr, "pg-broker token: out of memory\n");
        return EXIT_FAILURE;
    }
    bool written = printf("%s\n", token) > 0 && fflush(stdout) == 0;
    free(token);
    if (!written) fprintf(stderr, "pg-broker token: the token cannot be written to the standard output\n");
    return written ? EXIT_SUCCESS : EXIT_FAILURE;
}

int token_command(int argc, char **argv) {
    const char *tunnel_text = NULL, *secret_file = NULL;
    uint64_t ttl_ms = 21ull * 86400 * 1000;
    struct pg_log log = {.program = "pg-broker", .level = PG_LOG_INFO};
    struct pg_options_found found;
    struct pg_secret secret;
    struct pg_id tunnel;
    /* clang-format off */
    const struct pg_option table[] = {
        {.name = "tunnel", .kind = PG_OPTION_TEXT, .value = &tunnel_text, .argument = "UUID",
         .help = "the tunnel it is for"},
        {.name = "ttl", .kind = PG_OPTION_DURATION, .value = &ttl_ms, .argument = "TIME",
         .help = "how long it is valid (21d)", .min = 1000, .max = 36500ull * 86400 * 1000},
        {.name = "secret-file", .kind = PG_OPTION_TEXT, .value = &secret_file, .argument = "FILE",
         .help = "the broker's secret"},
    };
    /* clang-format on */
    const struct pg_options options = {.program = "pg-broker token",
                                       .usage = usage,
                                       .about = about,
                                       .notes = notes,
                                       .table = table,
                                       .count = sizeof table / sizeof *table,
                                       .file_is_shared = true,
                                       .log = &log,
                                       .found = &found};
    int status = pg_options_parse(&options, argc, argv);
    if (status != PG_OPTIONS_RUN) return status;
    if (!tunnel_text) return pg_options_error(&options, "--tunnel UUID is needed");
    if (!pg_id_parse_uuid(tunnel_text, strlen(tunnel_text), &tunnel))
        return pg_options_wrong(&options, &tunnel_text, " takes a UUID, not \"%s\"", tunnel_text);
    status = config_take_secret(&options, &secret_file, &secret);
    if (status != PG_OPTIONS_RUN) return status;
    if (secret.length == 0)
        return pg_options_error(&options, "the broker's secret is needed: --secret-file FILE or PIPEGATE_JWT_SECRET");
    status = print_token(&secret, &tunnel, ttl_ms);
    explicit_bzero(&secret, sizeof secret);
    return status;
}
