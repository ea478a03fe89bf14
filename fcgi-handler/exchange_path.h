/* What becomes of exchanges when the way to their client changes, or the client is started anew (DESIGN section 5). */
#ifndef PG_EXCHANGE_PATH_H
#define PG_EXCHANGE_PATH_H

#include "exchange_core.h"

/* The client's RESUME: it came by a new way, or answers our question. Both ends send again from what the other has. May end the
 * exchange. */
void exchange_on_resume(struct exchange *e, const struct pg_frame *frame, enum path_sender sender);

/* A life of the client that is not the one that took the exchange says that it does not know it: the one that did is over. The
 * exchange is dispatched again where that is no second delivery, else it ends. */
void exchange_on_lost_life(struct exchange *e);

/* Another life of the client has the exchange too: a copy of the request reached it. True when it may go on with that one; else the
 * exchange is over. */
bool exchange_adopt(struct exchange *e);

/* The client was heard by a newer way than before. */
void exchange_note_change(struct exchange *e);

/* Asks the client for its position where it is due, and Redis where the client is, again and again until that is told. Returns in how
 * many ms it is due next: the caller arms the timer. */
uint64_t exchange_ask(struct exchange *e);

/* The same, now. */
void exchange_ask_now(struct exchange *e);

/* What came does not follow what is here: something was lost with the way it came by, and the client is asked to send it again. Where
 * that happens again and again it breaks the protocol, and `what` is why the exchange ends. */
void exchange_on_gap(struct exchange *e, enum path_sender sender, const char *what);

/* Asks Redis where the tunnel's client is attached, at most once a second; `all`: and then the client for every exchange. */
void exchange_find_route(struct handler *handler, struct tunnel *tunnel, bool all);

/* The answer. */
void exchange_on_route(struct handler *handler, const struct pg_id *tunnel, const struct pg_id *broker, uint64_t session);

/* An OPEN that was sent straight to this session was not passed on (PG_NOT_TAKEN): it is pushed into the list. */
void exchange_on_not_taken(struct handler *handler, const struct pg_id *exchange, uint64_t session);

/* What the bus tells of a push that failed, if it was of an OPEN that was sent straight. True when no more has to be done: its broker is
 * dead, and the list has it now. */
bool exchange_on_not_sent(struct exchange *e, enum pg_bus_result why);

/* The tunnel's client has attached at another broker, as this session (PG_MOVED): what was sent straight to those before may be lost. */
void exchange_on_moved(struct handler *handler, const struct pg_id *tunnel, uint64_t session);

#endif
