#include "session.h"

#include "broker.h"
#include "bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* What each end means. */
static const struct end_rule {
    unsigned code; /* of the close frame; 0 = none: the other end is gone */
    const char *text;
    enum pg_log_level level;
} ends[] = {
    [SESSION_CLOSED] = {0, "the connection is closed", PG_LOG_INFO},
    [SESSION_SILENT] = {0, "the client does not answer: dropped", PG_LOG_WARN},
    [SESSION_REPLACED] = {WEBSOCKET_REPLACED, "the same client attached anew", PG_LOG_INFO},
    [SESSION_TAKEN] = {WEBSOCKET_TAKEN, "another client holds this tunnel", PG_LOG_WARN},
    [SESSION_HOSTILE] = {WEBSOCKET_HOSTILE, "the client broke the protocol", PG_LOG_WARN},
    [SESSION_NOT_BINARY] = {WEBSOCKET_NOT_BINARY, "the client sent a text message", PG_LOG_WARN},
    [SESSION_TOO_BIG] = {WEBSOCKET_TOO_BIG, "the client sent a message longer than a frame may be", PG_LOG_WARN},
    [SESSION_SLOW] = {WEBSOCKET_SLOW, "too much waits for the client", PG_LOG_WARN},
    [SESSION_NO_MEMORY] = {WEBSOCKET_NO_MEMORY, "the broker is out of memory", PG_LOG_ERROR},
    [SESSION_DRAINED] = {WEBSOCKET_GOING_AWAY, "the broker ends", PG_LOG_INFO},
};

static void log_session(const struct session *session, enum pg_log_level level, const char *text) {
    const struct pg_log_about about = {.tunnel = &session->tunnel->id, .peer = session->peer};
    pg_log(session->broker->log, level, &about, "%s", text);
}

/* Who counts these lines, and "client attached", knows who is attached: one that never was does not count. */
static void log_end(const struct session *session, enum pg_log_level level, const char *why) {
    const struct pg_log_about about = {.tunnel = &session->tunnel->id, .peer = session->peer};
    pg_log(session->broker->log, level, &about, "%s: %s", session->announced ? "client detached" : "client not attached", why);
}

static void end_because(struct session *session, enum session_end why, const char *detail);

/* --- birth and death --- */

/* A client that lost its connection before the broker noticed: the two sessions would fight for the route. */
static void end_older(struct session *newest) {
    struct session *session, *next;
    DL_FOREACH_SAFE(newest->tunnel->sessions, session, next) {
        if (session != newest && pg_id_equal(&session->instance, &newest->instance)) session_end(session, SESSION_REPLACED);
    }
}

/* A client that does not count gets a random number: handlers cannot tell then which of its sessions is the newer. */
static uint64_t session_id(const struct gate_verdict *verdict) {
    struct pg_id random = pg_id_random();
    uint32_t attempt = verdict->attempt ? verdict->attempt : pg_get_u32(random.bytes + PG_ID_SIZE - sizeof attempt);
    return pg_session_make(&verdict->instance, attempt);
}

struct session *session_new(struct broker *broker, struct websocket *socket, const struct gate_verdict *verdict, const char *peer) {
    struct session *session = calloc(1, sizeof *session);
    struct tunnel *tunnel = session ? tunnel_get(broker, &verdict->tunnel) : NULL;
    if (!tunnel) {
        free(session);
        return NULL;
    }
    session->broker = broker;
    session->socket = socket;
    session->tunnel = tunnel;
    session->instance = verdict->instance;
    session->id = session_id(verdict);
    session->heard_ms = uv_now(&broker->loop);
    strncpy(session->peer, peer, sizeof session->peer - 1);
    DL_APPEND(tunnel->sessions, session);
    broker->sessions++;
    end_older(session);
    agenda_put(&broker->agenda, &broker->idle, &session->heartbeat);
    attach_request(broker, session);
    return session;
}

static void forget_message(struct session *session) {
    free(session->message);
    session->message = NULL;
    session->message_length = session->message_size = 0;
}

void session_end(struct session *session, enum session_end why) {
    end_because(session, why, NULL);
}

static void end_because(struct session *session, enum session_end why, const char *detail) {
    struct broker *broker = session->broker;
    struct tunnel *tunnel = session->tunnel;
    const struct end_rule *rule = &ends[why];
    char text[256];
    snprintf(text, sizeof text, "%s%s%s", rule->text, detail ? ": " : "", detail ? detail : "");
    log_end(session, rule->level, text);
    attach_forget(broker, session);
    agenda_remove(&session->heartbeat);
    agenda_remove(&session->stall);
    /* With these two the route is somebody else's. */
    if (why != SESSION_REPLACED && why != SESSION_TAKEN) pg_bus_detach(broker->bus, &tunnel->id, session->id);
    DL_DELETE(tunnel->sessions, session);
    if (tunnel->holder == session) tunnel->holder = NULL;
    tunnel_release(broker, tunnel);
    if (rule->code) websocket_close(session->socket, (enum websocket_code)rule->code, text);
    else if (why != SESSION_CLOSED) websocket_kill(session->socket);
    if (why == SESSION_SILENT) broker->counters.silent++;
    if (why == SESSION_SLOW) broker->counters.overflow++;
    if (why == SESSION_HOSTILE || why == SESSION_NOT_BINARY || why == SESSION_TOO_BIG) broker->counters.hostile++;
    forget_message(session);
    free(session);
    broker->sessions--;
    broker_session_ended(broker);
}

void session_on_closed(void *session) {
    session_end(session, SESSION_CLOSED);
}

/* --- to the client --- */

void session_send(struct session *session, const uint8_t *frame, size_t length) {
    struct broker *broker = session->broker;
    if (!websocket_send(session->socket, OUT_BINARY, frame, length)) {
        session_end(session, SESSION_NO_MEMORY);
        return;
    }
    broker->counters.frames_to_client++;
    broker->counters.bytes_to_client += length;
    if (websocket_queued(session->socket) > broker->config->max_session_buffer) session_end(session, SESSION_SLOW);
}

void session_tell(struct session *session, enum pg_type type) {
    uint8_t frame[PG_FRAME_HEADER];
    pg_frame_put(frame, &(struct pg_frame){.type = type});
    session_send(session, frame, sizeof frame);
}

/* Writes the template with every {tunnel} replaced. */
static void put_url(const char *template, const struct pg_id *tunnel, struct pg_text *url) {
    static const char mark[] = "{tunnel}";
    char uuid[PG_UUID_TEXT + 1];
    const char *at;
    pg_id_uuid(tunnel, uuid);
    while ((at = strstr(template, mark))) {
        pg_text_add_bytes(url, template, (size_t)(at - template));
        pg_text_add_bytes(url, uuid, PG_UUID_TEXT);
        template = at + sizeof mark - 1;
    }
    pg_text_add_bytes(url, template, strlen(template));
}

static void send_attached(struct session *session) {
    uint8_t bytes[PG_FRAME_HEADER + 16 + PG_URL_MAX];
    char url_text[PG_URL_MAX + 1];
    struct pg_text url = pg_text_in(url_text, sizeof url_text);
    const char *template = session->broker->config->public_url;
    if (template) put_url(template, &session->tunnel->id, &url);
    const struct pg_attached attached = {
        .session = session->id, .window = PG_WINDOW, .max_frame = PG_FRAME_MAX, .url = url.data, .url_length = url.length};
    struct pg_frame frame = {.type = PG_ATTACHED};
    frame.length = pg_attached_put(bytes + PG_FRAME_HEADER, &attached);
    pg_frame_put(bytes, &frame);
    session_send(session, bytes, PG_FRAME_HEADER + frame.length);
}

void session_announce(struct session *session) {
    if (session->announced) {
        session_tell(session, PG_RESYNC);
        return;
    }
    session->announced = true;
    log_session(session, PG_LOG_INFO, "client attached");
    send_attached(session);
}

bool session_holds(const struct session *session) {
    return session->state == ATTACH_HOLDS && session->announced && pg_bus_holds_lease(session->broker->bus);
}

bool session_has_room(const struct session *session) {
    return websocket_queued(session->socket) < WEBSOCKET_LOW_WATER;
}

void session_on_drained(void *owner) {
    struct session *session = owner;
    tunnel_take(session->broker, session->tunnel);
}

/* --- the heartbeat --- */

static void ping(struct session *session, struct agenda_queue *queue) {
    static const uint8_t payload[] = {'p', 'i', 'n', 'g'}; /* libwebsockets does not tell of pongs without one */
    websocket_send(session->socket, OUT_PING, payload, sizeof payload);
    agenda_put(&session->broker->agenda, queue, &session->heartbeat);
}

static void heard(struct session *session) {
    struct broker *broker = session->broker;
    session->heard_ms = uv_now(&broker->loop);
    if (session->heartbeat.queue != &broker->idle) agenda_put(&broker->agenda, &broker->idle, &session->heartbeat);
}

void session_on_pong(void *session) {
    heard(session);
}

/* Put here when last heard after a ping, or when looked at before: a client is pinged after one to two intervals of
 * silence. */
void session_on_idle(void *owner, struct agenda_entry *entry) {
    struct broker *broker = owner;
    struct session *session = AGENDA_OWNER(entry, struct session, heartbeat);
    bool silent = uv_now(&broker->loop) - session->heard_ms >= broker->config->ping_interval_ms;
    if (silent && !session->paused) ping(session, &broker->pong);
    else agenda_put(&broker->agenda, &broker->idle, entry);
}

void session_probe(struct session *session) {
    if (session->heartbeat.queue != &session->broker->probe) ping(session, &session->broker->probe);
}

void session_on_silent(void *owner, struct agenda_entry *entry) {
    struct broker *broker = owner;
    struct session *session = AGENDA_OWNER(entry, struct session, heartbeat);
    if (session->paused) agenda_put(&broker->agenda, &broker->idle, entry); /* we do not listen, so we cannot tell */
    else session_end(session, SESSION_SILENT);
}

void session_on_remember(void *owner, struct agenda_entry *entry) {
    struct broker *broker = owner;
    struct session *session = AGENDA_OWNER(entry, struct session, upkeep);
    pg_bus_remember(broker->bus, &session->tunnel->id, session->id);
    agenda_put(&broker->agenda, &broker->remember, entry);
}

/* --- from the client --- */

static bool send_on(struct session *session, const uint8_t *bytes, size_t length) {
    struct broker *broker = session->broker;
    struct pg_id handler;
    const struct pg_envelope envelope = {.tunnel = session->tunnel->id, .broker = broker->process, .session = session->id};
    memcpy(handler.bytes, bytes + PG_FRAME_HEADER - PG_ID_SIZE, PG_ID_SIZE);
    return pg_bus_send(broker->bus, &handler, &envelope, bytes, length, NULL, 0);
}

/* Too much waits for Redis: the client is not read until this frame could go on its way. */
static void stall(struct session *session, const uint8_t *bytes, size_t length) {
    struct broker *broker = session->broker;
    if (bytes != session->message) {
        session->message = malloc(length);
        if (!session->message) {
            session_end(session, SESSION_NO_MEMORY);
            return;
        }
        memcpy(session->message, bytes, length);
        session->message_length = session->message_size = length;
    }
    broker->counters.stalls++;
    session->paused = true;
    websocket_pause(session->socket);
    agenda_put(&broker->agenda, &broker->stalled, &session->stall);
}

void session_on_stalled(void *owner, struct agenda_entry *entry) {
    struct broker *broker = owner;
    struct session *session = AGENDA_OWNER(entry, struct session, stall);
    if (!send_on(session, session->message, session->message_length)) {
        if (pg_bus_is_up(broker->bus)) {
            agenda_put(&broker->agenda, &broker->stalled, entry);
            return;
        }
        broker->counters.dropped[DROP_BUS_DOWN]++;
    }
    forget_message(session);
    session->paused = false;
    websocket_resume(session->socket);
}

/* Passes a whole message on. It may end the session. */
static void accept_message(struct session *session, const uint8_t *bytes, size_t length) {
    struct broker *broker = session->broker;
    struct pg_frame frame;
    const char *wrong = pg_frame_decode(bytes, length, &frame);
    if (!wrong && frame.type != PG_HEAD && frame.type != PG_DATA && frame.type != PG_ACK && frame.type != PG_RESUME &&
        frame.type != PG_RESET)
        wrong = "a type that no client sends";
    if (wrong) {
        end_because(session, SESSION_HOSTILE, wrong);
        return;
    }
    broker->counters.frames_from_client++;
    broker->counters.bytes_from_client += length;
    if (send_on(session, bytes, length)) {
        forget_message(session);
    } else if (pg_bus_is_up(broker->bus)) {
        stall(session, bytes, length);
    } else {
        /* Both ends say again what is missing when the route is set up anew (RESYNC); not to read the client meanwhile
         * would make it look dead to us, and us to it. */
        broker->counters.dropped[DROP_BUS_DOWN]++;
        forget_message(session);
    }
}

/* Adds a piece to the message in hand. The buffer is as large as the WebSocket frame says at once. */
static bool append(struct session *session, const struct websocket_piece *piece) {
    size_t needed = session->message_length + piece->length + piece->remaining;
    if (needed > session->message_size) {
        uint8_t *larger = realloc(session->message, needed);
        if (!larger) return false;
        session->message = larger;
        session->message_size = needed;
    }
    if (piece->length) memcpy(session->message + session->message_length, piece->bytes, piece->length);
    session->message_length += piece->length;
    return true;
}

void session_on_piece(void *owner, const struct websocket_piece *piece) {
    struct session *session = owner;
    heard(session);
    if (!piece->binary) {
        session_end(session, SESSION_NOT_BINARY);
    } else if (piece->length > PG_FRAME_MAX || piece->remaining > PG_FRAME_MAX ||
               session->message_length + piece->length + piece->remaining > PG_FRAME_MAX) {
        session_end(session, SESSION_TOO_BIG);
    } else if (piece->final && session->message_length == 0) {
        accept_message(session, piece->bytes, piece->length);
    } else if (!append(session, piece)) {
        session_end(session, SESSION_NO_MEMORY);
    } else if (piece->final) {
        accept_message(session, session->message, session->message_length);
    }
}
