/* pg-client: the real relay, with a local service that is played. Defines the functions of client/local_request.h and
 * client/request_log.h that the relay calls. */
#ifndef SIMULATION_CLIENT_END_H
#define SIMULATION_CLIENT_END_H

#include "world.h"

struct link;

/* A new life of the client, attached nowhere. NULL: no memory. */
struct client_end *client_start(struct world *world, uint32_t life);

/* It is killed: frees it. */
void client_kill(struct client_end *client);

struct pg_id client_instance(uint32_t life);

void client_attach(struct client_end *client, struct link *link);
void client_detach(struct client_end *client);
void client_announce(struct client_end *client); /* RESYNC */
void client_room(struct client_end *client);
void client_take(struct client_end *client, const uint8_t *frame, size_t length);

/* The local service reads some of a request, or makes some of a response. False: it has nothing to do. */
bool client_service_moves(struct client_end *client);

/* What is due. And when the next is. */
void client_turn(struct client_end *client);
uint64_t client_next(const struct client_end *client);

/* Does it have anything left to do for anybody? */
bool client_is_idle(const struct client_end *client);

#endif
