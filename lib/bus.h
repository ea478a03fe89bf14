/* The bus: everything the programs say to each other through Redis (DESIGN section 3). The only part that knows Redis.
 *
 * One bus per process, on the process's uv loop; not thread-safe. It keeps two connections, one that waits in BLMPOP on the
 * process's inbox and one for all else, connects them again for ever, keeps the process's alive-key fresh, and gathers what one
 * loop turn sends into one push per destination. Callbacks come from the loop, never from within a call of these functions,
 * but for on_open and on_undelivered from within pg_bus_withdraw (which sends what is gathered), with PG_BUS_DOWN.
 *
 * Delivery is best effort: what is under way when a connection or Redis dies may be lost, and the two ends of an exchange put
 * that right. Whatever is known not to have arrived is reported. */
#ifndef PG_BUS_H
#define PG_BUS_H

#include "bus_url.h"
#include "log.h"
#include "wire.h"

#include <uv.h>

struct pg_bus;

enum {
    PG_BUS_INBOX_MAX = 8192, /* messages in an inbox; a sender to a full one is told so */
    PG_BUS_TAKE_MAX = 64,    /* requests taken at once */
    PG_BUS_ALIVE_MS = 6000,  /* a process counts as dead this long after its last heartbeat */
    PG_BUS_HEARTBEAT_MS = 2000,
    PG_BUS_PENDING_MAX = 64 * 1024 * 1024 /* bytes handed to Redis and not answered yet; beyond it sends are refused */
};

enum pg_bus_result {
    PG_BUS_OK,
    PG_BUS_NO_TUNNEL, /* no client attached it lately */
    PG_BUS_FULL,      /* too many wait */
    PG_BUS_GONE,      /* the destination process is dead */
    PG_BUS_NO_MEMORY, /* Redis is at its memory limit (-OOM) */
    PG_BUS_DOWN,      /* no connection, or it broke before the answer: it may or may not have happened */
    PG_BUS_TAKEN      /* another live instance holds the tunnel */
};

/* All are called with `owner`; a program leaves NULL what it does not need. Bytes are borrowed for the call. */
struct pg_bus_events {
    /* A message from the inbox: envelope and whole frame (not decoded). */
    void (*on_message)(void *owner, const struct pg_envelope *envelope, const uint8_t *frame, size_t length);
    void (*on_control)(void *owner, const struct pg_control *control);
    /* Garbage in the inbox. */
    void (*on_garbage)(void *owner, const char *what);
    /* Both connections are up (true), or one was lost (false). */
    void (*on_state)(void *owner, bool up);
    /* Redis answers and has never taken our login or database; `why` is a sentence that says what to do. Once, and before any on_state.
     * Without this function it is tried for ever. */
    void (*on_refused)(void *owner, const char *why);
    /* Every PG_BUS_HEARTBEAT_MS, whether Redis is there or not. */
    void (*on_heartbeat)(void *owner);
    /* Messages for process `to` did not arrive, or may not have. */
    void (*on_undelivered)(void *owner, const struct pg_id *to, enum pg_bus_result why);
    /* What became of an OPEN pushed with pg_bus_open or pg_bus_open_straight. */
    void (*on_open)(void *owner, const struct pg_id *exchange, enum pg_bus_result result);
    /* The answer to pg_bus_find_route, unless the connection broke: `broker` is zero where no client was attached
     * last, and may be one that is dead. */
    void (*on_route)(void *owner, const struct pg_id *tunnel, const struct pg_id *broker, uint64_t session);
    /* Requests taken from a tunnel's list, one call each, then `on_taken` once. `frame` is whole, not decoded. */
    void (*on_request)(void *owner, const struct pg_id *tunnel, const uint8_t *frame, size_t length);
    /* count = how many there were; fewer than asked for means that the list is empty now. Result OK or DOWN. */
    void (*on_taken)(void *owner, const struct pg_id *tunnel, size_t count, enum pg_bus_result result);
    /* The answer to pg_bus_attach: OK, TAKEN, NO_MEMORY or DOWN. With TAKEN, `holder` is the broker and `holder_session` the
     * session that hold it. With OK, where the same instance was attached before with another session, they are that one's
     * (else a zero id): tell it REPLACED. */
    void (*on_attach)(void *owner, const struct pg_id *tunnel, uint64_t session, enum pg_bus_result result,
                      const struct pg_id *holder, uint64_t holder_session);
};

struct pg_bus_options {
    uv_loop_t *loop;
    const struct pg_log *log;
    const struct pg_bus_url *url; /* where Redis is */
    struct pg_id process;         /* this process's id: names its inbox */
    uint64_t waiting_max;         /* requests that may wait in a tunnel's list (handler) */
    uint64_t waiting_ms;          /* how long an unread list lives (handler) */
    bool hears_routes;            /* on_control gets PG_ROUTED and PG_MOVED (handler) */
    uint64_t remember_ms;         /* "no client attached it lately": how long a tunnel is remembered (broker) */
    struct pg_bus_events events;
    void *owner;
};

struct pg_bus_counters {
    uint64_t reconnects;
    uint64_t messages_sent, messages_received;
    uint64_t bytes_sent, bytes_received;
    uint64_t undelivered;
};

/* Makes the bus and begins to connect. Everything in options is copied but `log`, `loop` and `owner`. NULL: no memory. */
struct pg_bus *pg_bus_new(const struct pg_bus_options *options);

/* Sends what is gathered, deletes the process's own keys, closes everything, then calls `on_closed` (may be NULL) from the loop
 * and frees the bus. No other callback comes after this call. */
void pg_bus_close(struct pg_bus *bus, void (*on_closed)(void *owner));

bool pg_bus_is_up(const struct pg_bus *bus);

/* Is it up, and does Redis surely know that this process lives? One that was stopped for a while has lost its routes, it may be, before it
 * can tell. */
bool pg_bus_holds_lease(const struct pg_bus *bus);

const struct pg_bus_counters *pg_bus_counters(const struct pg_bus *bus);

/* Handler: queues an OPEN for the tunnel; `frame` is a whole frame and is copied. `again`: it was queued before and may be lost; where
 * requests wait in the tunnel's list it is taken to be one of them still. `exchange` comes back in on_open, once. False (and no
 * on_open) when the bus is down or too much is pending. */
bool pg_bus_open(struct pg_bus *bus, const struct pg_id *tunnel, const struct pg_id *exchange, bool again, const uint8_t *frame,
                 size_t length);

/* Handler: sends an OPEN straight to the inbox of the broker where the tunnel's client was heard by that session, past the list. on_open
 * tells only of failures: GONE and NO_MEMORY (it did not arrive), DOWN (it may have). False as pg_bus_open. */
bool pg_bus_open_straight(struct pg_bus *bus, const struct pg_envelope *way, const struct pg_id *exchange, const uint8_t *frame,
                          size_t length);

/* Handler: asks where the tunnel's client is attached now; on_route tells. False when the bus is down. */
bool pg_bus_find_route(struct pg_bus *bus, const struct pg_id *tunnel);

/* Handler: takes an OPEN back (the same bytes as were pushed), all copies of it: those that are still in the tunnel's list where `from` names
 * no broker, else those that were sent straight by that way and not read yet. False when the bus is down or memory is out. */
bool pg_bus_withdraw(struct pg_bus *bus, const struct pg_envelope *from, const uint8_t *frame, size_t length);

/* Sends a frame, given as two pieces that are copied (the second may be NULL), to the inbox of process `to`. False when the bus
 * is down or too much is pending. */
bool pg_bus_send(struct pg_bus *bus, const struct pg_id *to, const struct pg_envelope *envelope, const uint8_t *head,
                 size_t head_length, const uint8_t *body, size_t body_length);

bool pg_bus_send_control(struct pg_bus *bus, const struct pg_id *to, const struct pg_control *control);

/* Broker: takes at most `max` (<= PG_BUS_TAKE_MAX) requests from the tunnel's list. One take per tunnel at a time.
 * Answered by on_request and on_taken. False (and no answer) when the bus is down or memory is out. */
bool pg_bus_take(struct pg_bus *bus, const struct pg_id *tunnel, unsigned max);

/* Broker: makes this process and session the tunnel's way, unless another instance holds it and its broker is alive.
 * Answered by on_attach. Attaching again with the same instance always succeeds. False
 * (and no answer) when the bus is down or memory is out. */
bool pg_bus_attach(struct pg_bus *bus, const struct pg_id *tunnel, const struct pg_id *instance, uint64_t session);

/* Broker: the session is over. The tunnel is remembered for remember_ms; a route that is another's by now stays. */
void pg_bus_detach(struct pg_bus *bus, const struct pg_id *tunnel, uint64_t session);

/* Broker: remembers the tunnel for another remember_ms: call at least every half of it while the session lives. */
void pg_bus_remember(struct pg_bus *bus, const struct pg_id *tunnel, uint64_t session);

/* Writes the text of the last connection error, for a start-up message or health page; "" if there was none. */
const char *pg_bus_error(const struct pg_bus *bus);

#endif
