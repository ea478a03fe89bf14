/* How sessions come to hold their tunnels (DESIGN section 7): they stand in line, a bounded number of them is asked for
 * at Redis at a time, who finds the tunnel taken has the holder probed and asks again, and whoever lost his route
 * because Redis was away stands in line again. */
#ifndef BROKER_ATTACH_H
#define BROKER_ATTACH_H

#include "bus.h"

struct broker;
struct session;

/* The patience outlasts the lease of a broker that was killed: its client may be anybody by now. */
enum { ATTACH_AT_ONCE = 64, ATTACH_RETRY_MS = 500, ATTACH_PATIENCE_MS = PG_BUS_ALIVE_MS + 2000 };

/* Where a session stands. */
enum attach_state {
    ATTACH_IN_LINE, /* in line, or waiting for Redis to be there */
    ATTACH_ASKED,   /* pg_bus_attach is under way */
    ATTACH_LATER,   /* asks again when the retry queue says so */
    ATTACH_HOLDS    /* the tunnel is this session's, as far as is known */
};

struct attach_line {
    struct session *first; /* utlist by line_prev, line_next */
    size_t asked;          /* attaches under way at Redis */
};

/* Stands the session in line, if it does not already, and asks as many as may be. */
void attach_request(struct broker *broker, struct session *session);

/* The session ends: forgets it here. */
void attach_forget(struct broker *broker, struct session *session);

/* The bus' on_attach and on_control, and what on_state(true) brings; `owner` is the broker. */
void attach_on_answer(void *owner, const struct pg_id *tunnel, uint64_t session, enum pg_bus_result result,
                      const struct pg_id *holder, uint64_t holder_session);
void attach_on_control(void *owner, const struct pg_control *control);
void attach_all_again(struct broker *broker);

/* The retry queue's on_due; `owner` is the broker. */
struct agenda_entry;
void attach_on_retry(void *owner, struct agenda_entry *entry);

#endif
