/* The connections of clients and of whoever asks for health and metrics. The only part that knows libwebsockets.
 *
 * It takes accepted sockets, answers HTTP, turns what the gate lets in into WebSockets, cuts what comes in into pieces,
 * and writes what was queued once a loop turn. Everything else (what a message means, who is alive) is its owner's. */
#ifndef BROKER_WEBSOCKET_H
#define BROKER_WEBSOCKET_H

#include "agenda.h"
#include "gate.h"
#include "log.h"
#include "out_queue.h"
#include "text.h"

struct websocket;        /* one connection */
struct websocket_server; /* all of them, and libwebsockets' context */

enum websocket_kind { WEBSOCKET_CLIENT, WEBSOCKET_ADMIN };

enum {
    WEBSOCKET_LOW_WATER = 256 * 1024, /* on_drained is called when less than this waits */
    WEBSOCKET_PEER_MAX = 48           /* bytes of an address for the log, the NUL included */
};

/* Close codes of our own (RFC 6455 7.4.2: 4000-4999 are for private use); clients act on 4409 only. */
enum websocket_code {
    WEBSOCKET_GOING_AWAY = 1001,
    WEBSOCKET_NOT_BINARY = 1003,
    WEBSOCKET_TOO_BIG = 1009,
    WEBSOCKET_NO_MEMORY = 1011,
    WEBSOCKET_HOSTILE = 4400,
    WEBSOCKET_SLOW = 4408,
    WEBSOCKET_TAKEN = 4409,
    WEBSOCKET_REPLACED = 4410
};

/* A piece of a message. Pieces of one message come in order; control frames between them are not seen. */
struct websocket_piece {
    const uint8_t *bytes; /* borrowed for the call */
    size_t length;
    size_t remaining; /* bytes that are still to come of this WebSocket frame */
    bool final;       /* the last piece of the message */
    bool binary;
};

struct websocket_answer {
    unsigned status;
    const char *type;  /* Content-Type */
    const char *error; /* X-Pipegate-Error, or NULL */
    struct pg_text body;
};

/* All are called from the loop. */
struct websocket_events {
    /* May this request become a WebSocket? `request` is borrowed, `peer` is whom to name in the log. */
    struct gate_verdict (*on_judge)(void *owner, const struct gate_request *request, const char *peer);
    /* It has become one. Returns the session that the functions below get, or NULL: it is closed again. */
    void *(*on_open)(void *owner, struct websocket *socket, const struct gate_verdict *verdict, const char *peer);
    void (*on_piece)(void *session, const struct websocket_piece *piece);
    void (*on_pong)(void *session);
    /* Something was written and less than WEBSOCKET_LOW_WATER waits now. */
    void (*on_drained)(void *session);
    /* The connection is over and not by websocket_close or websocket_kill; the session may not use the socket any more.
     */
    void (*on_closed)(void *session);
    /* A GET on an admin connection; fill in the answer. */
    void (*on_admin)(void *owner, const char *path, struct websocket_answer *answer);
};

struct websocket_options {
    uv_loop_t *loop;
    struct agenda *agenda;
    const struct pg_log *log;
    struct websocket_events events;
    void *owner;
};

/* NULL: libwebsockets cannot start (its libuv plugin is missing, or no memory). Everything in options is borrowed. */
struct websocket_server *websocket_server_new(const struct websocket_options *options);

/* Closes every connection and frees the server. Runs the loop until nothing is left on it: whatever else was there must
 * be closed, or closing, by then. */
void websocket_server_free(struct websocket_server *server);

/* Connections of any kind and state. */
size_t websocket_server_count(const struct websocket_server *server);

/* Takes an accepted socket, which is closed in any case in the end. */
void websocket_adopt(struct websocket_server *server, int fd, enum websocket_kind kind);

/* Writes all that was queued. The server does so itself after each loop turn's input; timers call it. */
void websocket_server_flush(struct websocket_server *server);

/* Queues one message, which is copied. False when memory is out. */
bool websocket_send(struct websocket *socket, enum out_opcode opcode, const void *bytes, size_t length);

/* Bytes queued and not yet given to the kernel. */
size_t websocket_queued(const struct websocket *socket);

/* Stop and go on reading. While stopped neither pieces nor pongs nor the end are seen. */
void websocket_pause(struct websocket *socket);
void websocket_resume(struct websocket *socket);

/* The session is over: what is queued is dropped, the WebSocket is closed with the code and the text (at most 123
 * bytes), and no more is called for it. */
void websocket_close(struct websocket *socket, enum websocket_code code, const char *reason);

/* The same without ceremony, for a peer that is dead. */
void websocket_kill(struct websocket *socket);

#endif
