/* The request's half of an exchange: the OPEN and the body that follows it. */
#ifndef PG_EXCHANGE_REQUEST_H
#define PG_EXCHANGE_REQUEST_H

#include "exchange_core.h"

/* A new visit, its request read into handler->request as REQUEST_TUNNEL with this id: begins an exchange, or answers at once. */
void exchange_begin(struct handler *handler, struct visit *visit, const struct pg_id *id);

/* Gives the OPEN to the bus, for the first time or again. */
void exchange_push_open(struct exchange *e);

/* Sends what the window allows of the body, and reads on where there is room. */
void exchange_pump_body(struct exchange *e);

#endif
