/* The response's half of an exchange: from the client's frames to the visitor. Each may end the exchange. */
#ifndef PG_EXCHANGE_RESPONSE_H
#define PG_EXCHANGE_RESPONSE_H

#include "exchange_core.h"

/* A HEAD; the frame's payload is not checked yet. A second copy is ignored. */
void exchange_on_head(struct exchange *e, const struct pg_frame *frame);

/* Body bytes at an offset, after the HEAD: passed on at once where the visitor can take them, else held. */
void exchange_take_body(struct exchange *e, uint64_t offset, const uint8_t *bytes, size_t length, bool last);

/* The client gave up. */
void exchange_on_reset(struct exchange *e, const struct pg_frame *frame);

/* The visitor can take more (a visit's on_room; `owner` is the exchange). */
void exchange_on_room(void *owner);

/* Sends credit, once enough has gone to the visitor. */
void exchange_tell(struct exchange *e);

#endif
