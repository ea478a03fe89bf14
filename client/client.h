/* The whole of pg-client but for its options: the tunnel, the relay, signals, and the way to the end. */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include "config.h"

/* Runs until a signal or a refusal; returns the exit status. */
int client_run(struct config *config);

#endif
