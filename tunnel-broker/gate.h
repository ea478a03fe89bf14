/* Who may attach (DESIGN section 7): decides by an Upgrade request's fields, before anything is set up for it. Pure. */
#ifndef BROKER_GATE_H
#define BROKER_GATE_H

#include "token.h"

#define GATE_SUBPROTOCOL "pipegate.v1"

/* Texts end in NUL and are "" where the request has no such field. */
struct gate_request {
    const char *path; /* without the query */
    const char *upgrade;
    const char *connection;
    const char *version; /* Sec-WebSocket-Version */
    const char *key;     /* Sec-WebSocket-Key */
    const char *protocols;
    const char *instance;
    const char *attempt; /* X-Pipegate-Attempt */
    const char *authorization;
};

enum gate_status {
    GATE_OPEN = 101,
    GATE_BAD_REQUEST = 400,
    GATE_UNAUTHORIZED = 401,
    GATE_NOT_FOUND = 404,
    GATE_NO_WEBSOCKET = 426,
    GATE_UNAVAILABLE = 503
};

struct gate_verdict {
    enum gate_status status;
    const char *sentence; /* constant; why not, for whoever runs the client. NULL with GATE_OPEN */
    bool has_tunnel;      /* `tunnel` was read: for the log */
    struct pg_id tunnel;
    struct pg_id instance;
    uint32_t attempt; /* counts the instance's attempts to attach; 0 = it does not say */
};

/* Reads the tunnel's id from the last segment of a path. */
bool gate_tunnel(const char *path, struct pg_id *tunnel);

/* `secret` NULL: everybody may (--open). `now`: Unix seconds. Never GATE_UNAVAILABLE. */
struct gate_verdict gate_judge(const struct pg_secret *secret, const struct gate_request *request, uint64_t now);

#endif
