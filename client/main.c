/* pg-client attaches a tunnel to a PipeGate broker and relays its requests to a local service. */
#include "client.h"

int main(int argc, char **argv) {
    struct config config;
    int status = config_parse(&config, argc, argv);
    return status == PG_OPTIONS_RUN ? client_run(&config) : status;
}
