/* What waits to be sent to the broker, and in which order: acknowledgements first, then one frame of each exchange in
 * turn, so that none waits behind another's window. Frames are made when the link has room, so nothing piles up here.
 */
#ifndef CLIENT_OUTGOING_H
#define CLIENT_OUTGOING_H

#include "broker_link.h"
#include "exchange.h"

enum { OUTGOING_LOOSE_MAX = 256 };

/* A frame about an exchange that is not in the table. */
struct outgoing_loose {
    struct pg_id exchange, handler;
    enum pg_reason reset; /* 0: a RESUME that answers "unknown" */
    const char *sentence; /* constant */
};

struct outgoing {
    struct link *link; /* NULL = no way out now */
    struct pg_id instance;
    struct list sending, owing;
    struct outgoing_loose loose[OUTGOING_LOOSE_MAX]; /* a ring */
    size_t loose_first, loose_count;
};

void outgoing_init(struct outgoing *outgoing, const struct pg_id *instance);

/* The exchange may have frames to send; or owes an ACK entry. */
void outgoing_send(struct outgoing *outgoing, struct exchange *exchange);
void outgoing_owe(struct outgoing *outgoing, struct exchange *exchange);

/* An answer about an exchange that is not here. When there are too many it is not given: the handler will ask again. */
void outgoing_reset(struct outgoing *outgoing, const struct pg_frame *about, enum pg_reason reason, const char *sentence);
void outgoing_unknown(struct outgoing *outgoing, const struct pg_frame *about);

/* Sends what the link takes. `on_sent` is called for each exchange whose last frame went; it may forget it. When
 * something is left the link says when there is room. */
void outgoing_fill(struct outgoing *outgoing, void (*on_sent)(struct exchange *exchange));

#endif
