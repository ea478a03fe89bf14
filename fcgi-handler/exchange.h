/* One visitor request with its response, at the handler's end: the state machine of lib/WIRE.md between the front (a visit) and
 * the bus. An exchange frees itself when it is over; nobody else keeps a pointer to it. */
#ifndef PG_EXCHANGE_H
#define PG_EXCHANGE_H

#include "handler.h"

/* A message from a client. */
void exchange_on_message(struct handler *handler, const struct pg_envelope *envelope, const uint8_t *bytes, size_t length);

/* What became of the push of an OPEN. */
void exchange_on_open(struct handler *handler, const struct pg_id *id, enum pg_bus_result result);

/* The bus is up again: push what could not be, send what was held back. */
void exchange_on_bus_up(struct handler *handler);

/* Ends all that is left, telling clients: visitors get 503, or after the head an abort. For the end of draining. */
void exchange_end_all(struct handler *handler);

/* Answers a visit that is no exchange (yet) with one of our pages; `wants_html` and the method are those in handler->request. */
void exchange_refuse(struct handler *handler, struct visit *visit, enum answer answer, const char *detail);

/* The visitor hung up (a visit's on_gone; `owner` is the exchange). */
void exchange_on_gone(void *owner);

/* How many exchanges wait for a client. Walks all of them. */
uint64_t exchange_count_waiting(const struct handler *handler);

#endif
