/* One attached client: its life, its heartbeat, and its frames on their way in and out. */
#ifndef BROKER_SESSION_H
#define BROKER_SESSION_H

#include "agenda.h"
#include "attach.h"
#include "websocket.h"
#include "wire.h"

struct broker;
struct tunnel;

enum { SESSION_PONG_MS = 10000, SESSION_PROBE_MS = 2000, SESSION_STALL_MS = 5 };

/* Why a session ends; decides what the client, Redis and the log are told. */
enum session_end {
    SESSION_CLOSED,   /* the client or the network did it */
    SESSION_SILENT,   /* no answer to a ping */
    SESSION_REPLACED, /* the same client attached anew */
    SESSION_TAKEN,    /* another client holds the tunnel */
    SESSION_HOSTILE,  /* it sent what no client sends */
    SESSION_NOT_BINARY,
    SESSION_TOO_BIG,
    SESSION_SLOW, /* too much waits for it */
    SESSION_NO_MEMORY,
    SESSION_DRAINED /* the broker ends */
};

struct session {
    struct broker *broker;
    struct websocket *socket;
    struct tunnel *tunnel;
    struct pg_id instance;
    uint64_t id; /* names this session in envelopes: pg_session_make */
    enum attach_state state;
    bool in_line;
    bool announced;          /* ATTACHED was sent */
    bool paused;             /* not read until `stalled` could be sent */
    uint64_t taken_since_ms; /* since when the tunnel is found taken; 0 = it is not */
    uint64_t heard_ms;       /* uv_now when something came from the client */
    uint8_t *message;        /* what has come of a message in pieces, or the one that waits while paused; or NULL */
    size_t message_length, message_size;
    struct agenda_entry heartbeat;         /* idle, pong or probe queue */
    struct agenda_entry upkeep;            /* retry or remember queue */
    struct agenda_entry stall;             /* stalled queue */
    struct session *prev, *next;           /* of the tunnel */
    struct session *line_prev, *line_next; /* waiting to attach */
    char peer[WEBSOCKET_PEER_MAX];
};

/* The client may attach by the gate's verdict: makes the session and asks for the tunnel. An older one of the same
 * client is ended. NULL: no memory. */
struct session *session_new(struct broker *broker, struct websocket *socket, const struct gate_verdict *verdict, const char *peer);

/* Ends and frees the session: nothing may touch it after this call. */
void session_end(struct session *session, enum session_end why);

/* Queues a whole frame for the client. Ends the session when it lets too much pile up. */
void session_send(struct session *session, const uint8_t *frame, size_t length);

/* Sends a frame of the broker's own without payload: GOAWAY, RESYNC. */
void session_tell(struct session *session, enum pg_type type);

/* The tunnel is the client's: ATTACHED the first time, RESYNC when it was attached before. */
void session_announce(struct session *session);

/* Is the tunnel surely its own, and its client told so? Not while Redis is away, nor when this broker may be taken for dead. */
bool session_holds(const struct session *session);

/* May more requests be taken for it? */
bool session_has_room(const struct session *session);

/* Pings at once; ends the session when nothing is heard within SESSION_PROBE_MS. */
void session_probe(struct session *session);

/* The websocket's events; `session` is one. */
void session_on_piece(void *session, const struct websocket_piece *piece);
void session_on_pong(void *session);
void session_on_drained(void *session);
void session_on_closed(void *session);

/* The queues' on_due; `owner` is the broker. */
void session_on_idle(void *owner, struct agenda_entry *entry);
void session_on_silent(void *owner, struct agenda_entry *entry); /* pong and probe queues */
void session_on_stalled(void *owner, struct agenda_entry *entry);
void session_on_remember(void *owner, struct agenda_entry *entry);

#endif
