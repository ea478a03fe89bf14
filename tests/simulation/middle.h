/* Redis, the brokers and the connections between: all that is between the two ends and may lose, repeat, hold up and die. Defines the
 * functions of lib/bus.h that an exchange calls, and those of client/broker_link.h that the relay calls. */
#ifndef SIMULATION_MIDDLE_H
#define SIMULATION_MIDDLE_H

#include "world.h"

struct pg_bus;

struct middle *middle_new(struct world *world);
void middle_free(struct middle *middle);

struct pg_bus *middle_bus(struct middle *middle);

/* Each does one thing, or returns false where there is nothing to do: a message reaches the handler, or the client; a broker takes a
 * request from the list, or attaches a client; an answer of Redis reaches the handler; a client without a connection makes one. */
bool middle_moves_up(struct middle *middle);
bool middle_moves_down(struct middle *middle);
bool middle_takes_request(struct middle *middle);
bool middle_attaches(struct middle *middle);
bool middle_answers(struct middle *middle);
bool middle_connects(struct middle *middle);

/* Something dies, is cut off or is lost: one thing, at random. The client's own death is not among them. */
void middle_breaks(struct middle *middle);

/* The client was killed: its connections are gone, and what it has sent may still arrive. */
void middle_client_is_gone(struct middle *middle);

/* From now on nothing breaks any more: what is down comes back. */
void middle_heals(struct middle *middle);

/* Nothing is under way, and nothing waits in Redis. */
bool middle_is_empty(const struct middle *middle);

/* For a look at a run that went wrong. */
void middle_show(const struct middle *middle);

#endif
