/* One request to the local service, by libcurl. The only part that knows how an OPEN becomes an HTTP request: raw
 * method and target, fields in order, a connection to the target and to nothing else.
 *
 * Not thread-safe. No event comes from within local_request_start or after local_request_cancel; some come from within
 * local_request_wake. An event must not start or cancel its own request. */
#ifndef CLIENT_LOCAL_REQUEST_H
#define CLIENT_LOCAL_REQUEST_H

#include "target.h"
#include "wire.h"

#include <uv.h>

struct local_service; /* where requests go: connections, handles to use again */
struct local_request;

enum local_taken {
    LOCAL_TAKEN,
    LOCAL_LATER,  /* nothing was taken; local_request_wake when there is room */
    LOCAL_REFUSED /* the request shall fail */
};

enum { LOCAL_SENTENCE = 400 };

struct local_outcome {
    bool good;             /* the response is complete */
    enum pg_reason reason; /* else; PG_TIMEOUT is not among them: the caller keeps the time */
    const char *sentence;  /* fit for the visitor; valid for the call */
};

struct local_events {
    /* The final head: checked, hop-by-hop fields removed. `expected`: Content-Length, 0 where there can be no body, or
     * PG_LENGTH_UNKNOWN. False: no memory. */
    bool (*on_head)(void *owner, unsigned status, const struct pg_field *fields, size_t count, uint64_t expected);
    enum local_taken (*on_body)(void *owner, const void *bytes, size_t length);
    /* Fetches request bytes, at least one unless *end. Returns 0 without *end when there are none yet:
     * local_request_wake. */
    size_t (*on_want)(void *owner, char *to, size_t room, bool *end);
    /* Over; the request is gone when this returns. */
    void (*on_done)(void *owner, const struct local_outcome *outcome);
};

enum local_host { LOCAL_HOST_TARGET, LOCAL_HOST_VALUE, LOCAL_HOST_VISITOR };

struct local_service_options {
    uv_loop_t *loop;
    const struct target *target;
    bool insecure;          /* https: trust any certificate */
    enum local_host host;   /* what the Host field says */
    const char *host_value; /* with LOCAL_HOST_VALUE */
    uint64_t connect_timeout_ms;
    struct local_events events;
};

/* NULL: no memory. What the options point to must last. */
struct local_service *local_service_new(const struct local_service_options *options);

/* Cancels what runs, closes everything; frees it and calls `on_closed` (may be NULL) with `owner` from the loop later.
 */
void local_service_close(struct local_service *service, void (*on_closed)(void *owner), void *owner);

/* Starts what came up in this turn: call it once at the end of each. */
void local_service_run(struct local_service *service);

/* "the local service at localhost:3000". */
const char *local_service_place(const struct local_service *service);

/* The body of the request. */
enum local_body {
    LOCAL_BODY_NONE,  /* no body, and no Content-Length */
    LOCAL_BODY_WHOLE, /* what the OPEN holds */
    LOCAL_BODY_STREAM /* open->body_length bytes, or chunks: fetched with on_want */
};

/* NULL, or why this OPEN must not become a request: a method, target or field that could change what is sent to whom.
 */
const char *local_request_check(const struct pg_open *open);

/* Starts it. The OPEN was checked and is not needed afterwards. NULL: no memory. */
struct local_request *local_request_start(struct local_service *service, const struct pg_open *open, enum local_body body,
                                          void *owner);

/* Ends it, without an event. */
void local_request_cancel(struct local_request *request);

/* There are request bytes (or their end), or there is room for response bytes: takes up what waited for that. */
void local_request_wake(struct local_request *request, bool input, bool room);

#endif
