/* pg-handler: the real exchanges, with visitors that are played. Defines the functions of fcgi-handler/front.h that an exchange
 * calls. */
#ifndef SIMULATION_HANDLER_END_H
#define SIMULATION_HANDLER_END_H

#include "bus.h"
#include "world.h"

/* One handler, with no request yet; starts anew what was made before (there is one in a process). */
struct handler_end *handler_start(struct world *world);
void handler_stop(struct handler_end *end);

/* A visitor comes, sends some of its request, takes some of the response, or leaves. False: there is nothing to do. */
bool handler_visitor_moves(struct handler_end *end);

/* What the bus tells it. */
void handler_takes(struct handler_end *end, const struct pg_envelope *envelope, const uint8_t *frame, size_t length);
void handler_on_open(struct handler_end *end, const struct pg_id *exchange, enum pg_bus_result result);
void handler_on_route(struct handler_end *end, const struct pg_id *broker, uint64_t session);
void handler_on_routed(struct handler_end *end);
void handler_on_not_taken(struct handler_end *end, const struct pg_id *exchange, uint64_t session);
void handler_on_moved(struct handler_end *end, uint64_t session);
void handler_on_bus_up(struct handler_end *end);

void handler_turn(struct handler_end *end);
uint64_t handler_next(const struct handler_end *end);

/* Breaks an invariant if an exchange holds more than it may. */
void handler_check(struct handler_end *end);

/* Nothing is left of any exchange. */
bool handler_is_empty(const struct handler_end *end);

void handler_show(const struct handler_end *end);

#endif
