/* The inside of an exchange, shared by exchange.c (messages and time), exchange_request.c and exchange_response.c: what it holds, the
 * tables it is in, what it says to the client, and its endings. Not for others: they use exchange.h. */
#ifndef PG_EXCHANGE_CORE_H
#define PG_EXCHANGE_CORE_H

#include "access_log.h"
#include "flow.h"
#include "handler.h"
#include "path.h"
#include "response.h"

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

enum {
    EXCHANGE_WATCH_MS = 200, /* requests that take longer are watched for hang-ups */
    EXCHANGE_AGAIN_MS = 500, /* an OPEN without an acknowledgement (a client gives one after 200 ms) is pushed again, then ... */
    EXCHANGE_AGAIN_MAX_MS = 2000,        /* ... ever less often, down to this */
    EXCHANGE_ASK_MS = 1000,              /* the client's position is asked for so often at most, until it is told */
    EXCHANGE_GAPS_MAX = 8,               /* so often may bytes be missing, and be asked for, without any that fit */
    EXCHANGE_RETRY_MS = 100,             /* the bus would not take it: try again */
    EXCHANGE_NEW_ROUTE_MS = 300,         /* the tunnel is unknown, but may not be for long: try again */
    EXCHANGE_WIDE_MAX = 2 * PG_WIDE_MAX, /* of a tunnel: its client may have been started anew */
    EXCHANGE_STRAIGHT_MAX = 2048, /* with more requests in flight none is sent straight: a broker's inbox is not for waiting in */
    EXCHANGE_GRACE_MS = 5000      /* after the bus was away tunnels are set up anew: so long none is unknown */
};

enum exchange_state {
    EXCHANGE_COLLECTING, /* a small body is read; nothing was sent yet */
    EXCHANGE_WAITING,    /* no client has acknowledged the OPEN */
    EXCHANGE_TAKEN,      /* a client has it; no response yet */
    EXCHANGE_RESPONDING  /* the head went to the visitor */
};

struct exchange {
    struct handler *handler;
    struct visit *visit;
    struct pg_id id;
    struct pg_id tunnel;
    enum exchange_state state;
    uint8_t *open; /* the OPEN frame, until it is acknowledged; or, where it may be done again, until the response begins */
    size_t open_length, open_room;
    bool open_whole;   /* it has the whole body */
    bool idempotent;   /* the method is: another life of the client may do it again */
    bool open_pushed;  /* the bus has it, or had */
    bool open_queued;  /* pushed at least once: the tunnel is known and the client away */
    bool open_listed;  /* the bus said that it is in the tunnel's list: it may be there still */
    uint64_t again_ms; /* after this long without an acknowledgement the OPEN is pushed again; doubles each time */
    uint64_t pushed_ms;
    struct pg_envelope straight; /* to which session it was sent straight, the first time; all zero: to none, or it is not there */
    bool stamped;                /* pushed once, with its deadline: it may be in Redis */
    bool copies; /* it was pushed more than once: what is left of it in Redis must go before the client may forget the exchange */
    struct path path;
    struct pg_outflow body; /* to the client */
    bool wide;              /* it may use the whole window */
    struct pg_inflow response;
    bool wide_response;   /* counted in entry->wide_count */
    uint64_t body_length; /* as the visitor announced it */
    uint64_t body_read;
    bool reading;                             /* body bytes are asked for */
    bool is_head, wants_html, head_ends_body; /* the last one and `breaks`: as in struct request */
    enum visit_break breaks;
    char *held_head; /* malloc'd: the response's head, held back while more of the request comes; or NULL */
    size_t held_head_length;
    struct response head;
    struct access access; /* only where requests are logged */
    uint64_t started_us;
    uint64_t waiting_ms;  /* since when the OPEN waits to be taken */
    uint64_t heard_ms;    /* last message of the client */
    uint64_t asked_ms;    /* when its position was last asked for */
    bool asking;          /* and was not told yet */
    unsigned gaps;        /* times that bytes were missing and asked for, since the last that fitted */
    uint64_t progress_ms; /* last time the request moved on: the first byte is awaited from here */
    uv_timer_t timer;
    struct tunnel *entry;                           /* of its tunnel: lives as long as an exchange of it */
    struct exchange *tunnel_previous, *tunnel_next; /* in entry->exchanges */
    UT_hash_handle hh;
};

struct tunnel {
    struct pg_id id;
    uint64_t in_flight;
    unsigned wide_count;        /* exchanges whose response the client sent by more than PG_WINDOW_FIRST: see EXCHANGE_WIDE_MAX */
    struct exchange *exchanges; /* utlist */
    uint64_t asked_ms;          /* when its route was last asked for */
    bool ask_all;               /* the answer: ask for every exchange, not only where the way has changed */
    UT_hash_handle hh;
};

/* One line about the exchange; `detail` may be empty. */
void exchange_log(const struct exchange *e, enum pg_log_level level, const char *what, const char *detail, size_t detail_length);

/* The exchange with this id, or NULL. */
struct exchange *exchange_find(struct handler *handler, const struct pg_id *id);

/* The tunnel, while it has exchanges; else NULL. */
struct tunnel *exchange_find_tunnel(struct handler *handler, const struct pg_id *id);

/* Counts one more exchange of the tunnel; NULL, and nothing counted, when it has as many as it may or memory is out. */
struct tunnel *exchange_enter_tunnel(struct handler *handler, const struct pg_id *id);
void exchange_leave_tunnel(struct handler *handler, struct tunnel *tunnel);

/* A session may have the OPEN that was sent straight to it, whatever becomes of another copy. */
bool exchange_may_be_taken(const struct exchange *e);

/* And it is the only one: it was not pushed into the tunnel's list. */
bool exchange_is_straight(const struct exchange *e);

/* Another life of the client could do it: the method is idempotent, and the whole request is here or was never passed on. */
bool exchange_is_repeatable(const struct exchange *e);

/* Takes copies of the OPEN out of Redis: one that a client met after it forgot the exchange would be done again. */
void exchange_withdraw_copies(struct exchange *e);

/* The OPEN is of no use any more. */
void exchange_free_open(struct exchange *e);

/* Tell the client. Best effort: a client that does not hear it finds out by its own deadlines. */
void exchange_send_reset(struct exchange *e, enum pg_reason reason, const char *sentence);
void exchange_send_reset_to(struct handler *handler, const struct pg_id *exchange, const struct pg_envelope *path,
                            enum pg_reason reason, const char *sentence);

/* What is here of the response; with `flags` PG_ANSWER the answer to the client's RESUME, with 0 the question whether it is alive: it
 * answers with its own position, or that it does not know the exchange. */
void exchange_send_resume(struct exchange *e, uint16_t flags);

/* Nobody waits for the answer any more: takes an OPEN that no client has back. */
void exchange_withdraw(struct exchange *e);

/* Has the exchange looked at (exchange_on_timer) in `ms`. */
void exchange_arm(struct exchange *e, uint64_t ms);

/* Each of these ends the exchange and frees it. exchange_end: the visit has been ended before, in whatever way fits. */
void exchange_end(struct exchange *e);

/* With an answer of our own: nothing was sent to the visitor yet. */
void exchange_fail(struct exchange *e, enum answer answer, const char *detail);
void exchange_fail_bytes(struct exchange *e, enum answer answer, const char *detail, size_t detail_length);

/* So that it looks broken: the head is out. */
void exchange_break(struct exchange *e, const char *why, size_t why_length);

/* The visitor hung up. */
void exchange_abandon(struct exchange *e);

/* One of the two, and a RESET to the client, which broke the protocol. */
void exchange_fail_protocol(struct exchange *e, const char *what);

/* The response is all with the visitor; the visit was ended. */
void exchange_finish(struct exchange *e);

/* In exchange.c: the client has the exchange, and all of the request before `received`. */
void exchange_on_acknowledged(struct exchange *e, uint64_t received);

/* In exchange.c: the timer's callback. */
void exchange_on_timer(uv_timer_t *timer);

#endif
