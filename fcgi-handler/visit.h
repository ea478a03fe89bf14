/* The inside of a visit and its front, shared by front.c (the reactor: who is looked at when) and visit.c (what is done then).
 * Not for others: they use front.h. */
#ifndef PG_VISIT_H
#define PG_VISIT_H

#include "fastcgi.h"
#include "front.h"
#include "record.h"

enum {
    VISIT_PEEK_MAX = 98304, /* a head beyond this is read by a thread of the pool */
    VISIT_BODY_MAX = 65536  /* of a body is read at once */
};

enum visit_state {
    VISIT_WAITING,   /* for the head of a request */
    VISIT_ACCEPTING, /* a thread reads the head */
    VISIT_ACTIVE,    /* the owner has it, or is being asked */
    VISIT_FLUSHING,  /* the owner is done; the end of the response waits for room, or for the thread */
    VISIT_ENDING,    /* the response is out; what is left of the request is passed over, then the connection is kept */
    VISIT_LINGERING, /* the response is out; what still comes is thrown away, then the connection ends */
    VISIT_BREAKING,  /* to be broken off, see VISIT_BREAK_LATE */
    VISIT_HELD,      /* never to end, see VISIT_BREAK_NEVER */
    VISIT_CLOSED,    /* off the lists; freed when the thread is done with it */
    VISIT_STATES
};

struct visit {
    struct front *front;
    struct fastcgi *request; /* NULL between requests */
    int fd;
    enum visit_state state;
    bool in_epoll;
    bool served;      /* has had a request: a kept connection, which may have no other */
    bool has_timeout; /* SO_RCVTIMEO is set */
    bool busy;        /* a thread of the pool has `request`: hands off */
    bool whole;       /* the whole request was here when it was accepted: reading cannot block */
    bool lost;        /* found broken within a call of the owner's */
    bool parked;      /* in front->parked */
    bool read_some;   /* body bytes were asked for */
    bool body_over;   /* the end of the body was read, or it broke */
    bool wants_room;
    size_t wants_body;
    size_t record_left;                   /* bytes still to come of the record begun */
    uint8_t record_header[RECORD_HEADER]; /* its header ... */
    size_t header_left;                   /* ... as much as is still to be sent: its last bytes */
    bool answered;                        /* libfcgi holds the whole response, its end included */
    struct record_skip skip;              /* while ENDING, or LINGERING where `skips` */
    bool skips;                           /* the connection ends with the request, not when the front hangs up */
    uint8_t tail[RECORD_END_SIZE];        /* the end of the response while FLUSHING ... */
    size_t tail_left;                     /* ... as much as is still to be sent: its last bytes */
    const struct visit_events *events;
    void *owner;
    uv_work_t work;
    uint8_t *chunk; /* what the thread read */
    size_t chunk_length;
    enum fastcgi_body chunk_state;
    uint64_t active_ms; /* last sign of life while LINGERING; while BREAKING, the last time that the front had something to read */
    uint64_t broke_ms;  /* since when it is BREAKING */
    struct visit *previous, *next;
    struct visit *next_parked; /* in front->dead or front->parked */
};

struct front {
    struct front_options options;
    int epoll;
    uv_poll_t poll;
    uv_timer_t sweep;
    uv_timer_t soon;      /* runs when `parked` is not empty */
    struct visit *visits; /* every connection */
    struct visit *dead;   /* freed after the events at hand: one of them may still name it */
    struct visit *parked; /* to be looked at when the loop comes round */
    bool dispatching;
    unsigned count;
    unsigned in_state[VISIT_STATES]; /* how many visits there are in each state; of those CLOSED, how many there have been */
    bool accepting;
    bool stopped;        /* for good ... */
    uint64_t stopped_ms; /* ... and since when */
    bool paused;         /* connections_max reached */
    bool closing;
    unsigned handles_open;
    unsigned threads; /* at work */
    void (*on_closed)(void *owner);
    uint8_t peek[VISIT_PEEK_MAX];
    uint8_t body[VISIT_BODY_MAX]; /* what is read of a body, for one callback */
};

/* Ends the connection and frees the visit: now, after the events at hand, or when its thread is done. The owner has been told, or
 * did it. */
void visit_close(struct visit *visit);

/* Frees a closed visit that nothing else names any more; else does nothing. */
void visit_bury(struct visit *visit);

/* As visit_close, telling the owner on_gone. */
void visit_lose(struct visit *visit);

/* The only place where the state changes, so that what is counted by state is right. */
void visit_set_state(struct visit *visit, enum visit_state state);

/* Has the epoll set tell of everything that happens on the connection, once each (edge-triggered). */
void visit_watch_all(struct visit *visit);

/* Has a thread read the head of a request. */
void visit_accept_on_thread(struct visit *visit);

/* A request's head is in: offers it to the front's owner. `whole`: its body is in the kernel's buffer too. */
void visit_hand_over(struct visit *visit, bool whole);

/* Reads the body bytes asked for, or waits for them. */
void visit_read_body(struct visit *visit);

/* Sends the end of the response, or what is left of it, as soon as it may go out, and goes on to what comes after. */
void visit_send_end(struct visit *visit);

/* Has a byte come that nobody has read? */
bool visit_has_input(const struct visit *visit);

/* Passes over what has come of the rest of the request, then goes on to the next. */
void visit_skip_rest(struct visit *visit);

/* While LINGERING: throws away what has come. */
void visit_linger_on(struct visit *visit);

/* While BREAKING: breaks it off if it is time. */
void visit_try_break(struct visit *visit);

/* In front.c. Looks at a visit by its state: what can be done for it now? */
void front_serve(struct visit *visit);

/* In front.c. The same when the loop comes round: the owner must not be called back from within its calls, and what has come for a
 * connection while it was not looked at may have had its event already. */
void front_serve_soon(struct visit *visit);

/* In front.c. Sweeps once a second while there is something to sweep. */
void front_start_sweep(struct front *front);

/* In front.c. Stops or goes on accepting. */
void front_pause_accepting(struct front *front, bool pause);

#endif
