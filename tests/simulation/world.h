/* What a simulation is about: visitors' requests on their way through the real code of both ends (fcgi-handler/exchange*.c and
 * client/relay.c with all that they stand on), and everything around those two that is played here: time, the web server, Redis and
 * the brokers, the local service. One seed decides all of it. */
#ifndef SIMULATION_WORLD_H
#define SIMULATION_WORLD_H

#include "wire.h"

enum { REQUESTS_MAX = 4, BODY_MAX = 3 * 1024 * 1024, BODY_TABLE = 2 * BODY_MAX };

enum outcome {
    OUTCOME_NONE,
    OUTCOME_COMPLETE, /* the whole response, byte for byte */
    OUTCOME_FAILED,   /* a page of pg-handler's own */
    OUTCOME_BROKEN,   /* broken off after the head */
    OUTCOME_GONE      /* the visitor left */
};

/* One visitor's request: what is to happen, and what has. */
struct request_plan {
    struct pg_id id;
    bool idempotent, known_length, has_body; /* of the request */
    const uint8_t *request, *response;       /* the bodies, in the world's table */
    size_t request_length, response_length;
    bool tells_length;  /* the response has a Content-Length */
    bool answers_early; /* before the request is read */
    bool fails;         /* the local service breaks off */
    bool leaves;        /* the visitor may */
    bool begun;
    enum outcome outcome;
    char error[32];      /* of OUTCOME_FAILED */
    size_t answered;     /* response bytes that the visitor has */
    unsigned starts;     /* how often the local service got it */
    uint32_t started_in; /* the life of the client that last had it ... */
    uint32_t heard_from; /* ... and the last that the handler has heard of, about it */
    bool life_lost;      /* a life ended that had it */
    uint64_t given[2];   /* of its request and response: acknowledged to the sender */
};

struct middle;
struct handler_end;
struct client_end;

struct world {
    uint64_t random;
    bool calm;      /* nothing bad happens any more; until then ... */
    unsigned peace; /* ... something does once in so many steps, */
    unsigned slow;  /* this action is seldom the first that is tried, */
    unsigned hurry; /* and time passes at once in so many of the steps that could let it */
    size_t steps;
    struct request_plan requests[REQUESTS_MAX];
    size_t count;
    uint32_t life;  /* of the client */
    uint8_t *bytes; /* BODY_TABLE of them, the same in every run */
    struct middle *middle;
    struct handler_end *handler;
    struct client_end *client;
    const char *wrong; /* the first invariant that was broken */
};

extern const struct pg_id tunnel_id, handler_id;

/* 0 to limit - 1; and: once in `of` times. */
uint64_t below(struct world *world, uint64_t limit);
bool chance(struct world *world, unsigned of);

/* An invariant is broken. */
void wrong(struct world *world, const char *what);

/* The request with this id, or NULL. */
struct request_plan *find_request(struct world *world, const struct pg_id *id);

#endif
