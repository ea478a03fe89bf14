/* Who sees every frame between the two ends, and what none of them may show. */
#ifndef SIMULATION_OBSERVER_H
#define SIMULATION_OBSERVER_H

#include "world.h"

enum { REQUEST, RESPONSE }; /* of which stream a frame tells, or carries */

/* A frame is sent. */
void observe_sent(struct world *world, int direction, const uint8_t *bytes, size_t length);

/* A frame arrives; `from`: the client's life, or 0. */
void observe_arrived(struct world *world, int direction, const uint8_t *bytes, size_t length, uint32_t from);

/* An OPEN is given to that life of the client; `by_list`: it waited in the tunnel's list. */
void observe_given(struct world *world, const uint8_t *bytes, size_t length, uint32_t to, bool by_list);

#endif
