/* Between the tunnel and the local service: every frame about an exchange comes in here, every local request is started
 * here. */
#ifndef CLIENT_RELAY_H
#define CLIENT_RELAY_H

#include "broker_link.h"
#include "local_request.h"
#include "log.h"
#include "request_log.h"

struct relay;

struct relay_options {
    uv_loop_t *loop;
    const struct pg_log *log;
    struct request_log *request_log;
    const struct pg_id *tunnel; /* for log lines */
    const struct pg_id *instance;
    struct local_service_options local; /* all but the loop and the events */
    uint64_t max_concurrent;
    void (*on_idle)(void *owner); /* after relay_drain: nothing runs and all is sent; from the loop, may repeat */
    void *owner;
};

/* NULL: no memory. What the options point to must last. */
struct relay *relay_new(const struct relay_options *options);

/* Cancels everything; frees it and calls `on_closed` with the owner from the loop later. */
void relay_close(struct relay *relay, void (*on_closed)(void *owner));

/* From now on frames go this way, with at most `window` bytes of a response unacknowledged. Exchanges that are known
 * already are announced to their handlers. */
void relay_attach(struct relay *relay, struct link *link, size_t window);

/* There is no way now: exchanges go on and wait for one. */
void relay_detach(struct relay *relay);

/* The broker lost what it knew: announce the exchanges again. */
void relay_announce(struct relay *relay);

/* The link has room again. */
void relay_room(struct relay *relay);

/* Takes an OPEN, DATA, ACK, RESUME or RESET. NULL, or what is wrong with the frame itself: a constant sentence. */
const char *relay_take(struct relay *relay, const struct pg_frame *frame);

/* Starts nothing more: OPENs are left unanswered, so that their handlers give them to the next client. */
void relay_drain(struct relay *relay);

/* Ends what still runs with a RESET that says so. */
void relay_break_off(struct relay *relay);

/* Requests that are not finished. */
size_t relay_live(const struct relay *relay);

#endif
