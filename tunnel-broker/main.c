#include "broker.h"
#include "options.h"
#include "token_command.h"

#include <stdlib.h>
#include <string.h>

static int serve(int argc, char **argv) {
    static struct config config; /* holds the secret: not on a stack that other functions reuse */
    struct pg_options_found found;
    struct pg_log log = {.program = "pg-broker", .level = PG_LOG_INFO};
    int status = config_read(&config, &found, &log, argc, argv);
    return status == PG_OPTIONS_RUN ? broker_run(&config, &log) : status;
}

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv); /* argv[0] is the name */
} commands[] = {{"token", token_command}, {"serve", serve}};

int main(int argc, char **argv) {
    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof *commands; i++)
        if (strcmp(argv[1], commands[i].name) == 0) return commands[i].run(argc - 1, argv + 1);
    if (argc > 1 && argv[1][0] != '-')
        return pg_options_error(&(struct pg_options){.program = "pg-broker"}, "there is no command \"%s\", but pg-broker token",
                                argv[1]);
    return serve(argc, argv);
}
