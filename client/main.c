/* pg-client attaches a tunnel to a PipeGate broker and relays its requests to a local service. */
#include "client.h"

int main(int argc, char **argv) {
    struct config config;
    struct pg_options_found found;
    int status = config_parse(&config, &found, argc, argv);
    return status == PG_OPTIONS_RUN ? client_run(&config) : status;
}
