#include "handler.h"
#include "options.h"

int main(int argc, char **argv) {
    struct handler_config config;
    struct pg_options_found found;
    struct pg_log log;
    int status = handler_config_read(&config, &found, &log, argc, argv);
    return status == PG_OPTIONS_RUN ? handler_run(&config, &log) : status;
}
