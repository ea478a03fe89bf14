/* One WebSocket to a broker, from the connect to the end: handshake, messages in, frames out, pings, close. It knows
 * nothing of what the frames mean.
 *
 * A link ends once, with a reason, and frees itself after that from the loop. Memory: two fixed buffers, and a third of
 * PG_FRAME_MAX bytes while a message comes in fragments. */
#ifndef CLIENT_BROKER_LINK_H
#define CLIENT_BROKER_LINK_H

#include "handshake.h"
#include "wire.h"

#include <uv.h>

struct link;

enum link_reason {
    LINK_UNREACHABLE, /* no name, no connection, no TLS (`reached`): `said` tells */
    LINK_REFUSED,     /* an HTTP answer that was no upgrade: `status`, `ours`, `said` */
    LINK_BAD,         /* it does not keep to HTTP or RFC 6455: `said` tells */
    LINK_SILENT,      /* no answer to the handshake in time */
    LINK_CLOSED,      /* a WebSocket close: `status` is its code, `said` its reason; may be "" */
    LINK_LOST         /* the connection broke: `said` tells */
};

struct link_end {
    enum link_reason reason;
    bool upgraded; /* it had become a WebSocket */
    bool reached;  /* TCP stood */
    unsigned status;
    bool ours;
    const char *said; /* no control bytes; valid for the call */
};

struct link_options {
    uv_loop_t *loop;
    const struct server_url *url;
    const struct pg_id *instance;
    uint32_t attempt;  /* one more than the link before */
    const char *token; /* or NULL */
    const char *ca;    /* or NULL */
    bool insecure;
    uint64_t connect_timeout_ms; /* for the connection, and once more for the answer to the handshake */
    /* Callbacks come from the loop, never from within a call of these functions; after on_end none, after link_abort
     * none, after link_close only on_message and on_end. */
    void (*on_upgraded)(void *owner, struct link *link);
    void (*on_message)(void *owner, struct link *link, const uint8_t *bytes, size_t length); /* bytes: for the call */
    void (*on_room)(void *owner, struct link *link);                                         /* link_begin may succeed again */
    void (*on_end)(void *owner, struct link *link, const struct link_end *end);
    void *owner;
};

/* Begins to connect. NULL: no memory. What the options point to must last as long as the link. */
struct link *link_new(const struct link_options *options);

/* Says goodbye: sends what is queued, then a WebSocket close with this code, waits at most 2 s for the server's, then
 * on_end, usually with LINK_CLOSED. Only for a link that was upgraded; does nothing when it is closing already. */
void link_close(struct link *link, unsigned code);

/* Drops the connection now. No on_end. */
void link_abort(struct link *link);

/* Room for a frame of `size` bytes (at most PG_FRAME_MAX) in the out-buffer, to be written and then committed; NULL
 * when there is none now (on_room follows), or the link is not upgraded or ending. */
uint8_t *link_begin(struct link *link, size_t size);
void link_commit(struct link *link);

/* Upgraded, and neither closing nor over: frames can be sent. */
bool link_is_open(const struct link *link);

/* Writes what was committed, as far as the network takes it. */
void link_flush(struct link *link);

/* Nothing committed waits to be written? */
bool link_is_flushed(const struct link *link);

/* Queues a ping; when there is no room, what is under way does as well. */
void link_ping(struct link *link);

/* When something was last received, by pg_clock_ms. */
uint64_t link_heard_ms(const struct link *link);

#endif
