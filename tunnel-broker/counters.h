/* What the broker counts for /-/metrics. Only ever added to. */
#ifndef BROKER_COUNTERS_H
#define BROKER_COUNTERS_H

#include <stdint.h>

enum attach_outcome {
    ATTACH_OK,           /* a client is attached that was not before */
    ATTACH_AGAIN,        /* a route was set up anew after Redis was away */
    ATTACH_TAKEN,        /* another client holds the tunnel */
    ATTACH_BAD_REQUEST,  /* refused by the gate: 400, 404, 426 */
    ATTACH_UNAUTHORIZED, /* 401 */
    ATTACH_FULL,         /* 503 */
    ATTACH_OUTCOMES
};

enum drop_reason {
    DROP_EXPIRED,     /* an OPEN past its deadline */
    DROP_NO_SESSION,  /* for a tunnel or session that is not here any more */
    DROP_MALFORMED,   /* from Redis, and no frame that may go to a client */
    DROP_BUS_DOWN,    /* from a client, while Redis is away */
    DROP_UNDELIVERED, /* batches of frames that did not reach their process */
    DROP_REASONS
};

struct counters {
    uint64_t attaches[ATTACH_OUTCOMES];
    uint64_t dropped[DROP_REASONS];
    uint64_t requests;  /* OPENs passed on to clients */
    uint64_t not_taken; /* OPENs sent straight to a session that was gone or had no room */
    uint64_t frames_to_client, bytes_to_client;
    uint64_t frames_from_client, bytes_from_client;
    uint64_t hostile;  /* clients dropped for what they sent */
    uint64_t silent;   /* clients dropped because they did not answer a ping */
    uint64_t overflow; /* clients dropped because too much waited for them */
    uint64_t stalls;   /* times a client was not read because too much waited for Redis */
};

#endif
