#include "tunnel.h"

#include "broker.h"
#include "clock.h"
#include "session.h"

#include <stdlib.h>

struct tunnel *tunnel_find(struct broker *broker, const struct pg_id *id) {
    struct tunnel *tunnel;
    HASH_FIND(hh, broker->tunnels, id, sizeof *id, tunnel);
    return tunnel;
}

struct tunnel *tunnel_get(struct broker *broker, const struct pg_id *id) {
    struct tunnel *tunnel = tunnel_find(broker, id);
    if (tunnel) return tunnel;
    tunnel = calloc(1, sizeof *tunnel);
    if (!tunnel) return NULL;
    tunnel->id = *id;
    HASH_ADD(hh, broker->tunnels, id, sizeof tunnel->id, tunnel);
    if (tunnel->hh.tbl) return tunnel;
    free(tunnel); /* HASH_NONFATAL_OOM */
    return NULL;
}

void tunnel_release(struct broker *broker, struct tunnel *tunnel) {
    if (tunnel->sessions || tunnel->taking) return;
    HASH_DELETE(hh, broker->tunnels, tunnel);
    free(tunnel);
}

void tunnel_free_all(struct broker *broker) {
    struct tunnel *tunnel, *next;
    HASH_ITER(hh, broker->tunnels, tunnel, next) {
        HASH_DELETE(hh, broker->tunnels, tunnel);
        free(tunnel);
    }
}

struct session *tunnel_session(const struct tunnel *tunnel, uint64_t id) {
    struct session *session = tunnel->sessions;
    while (session && session->id != id) session = session->next;
    return session;
}

void tunnel_take(struct broker *broker, struct tunnel *tunnel) {
    if (!tunnel->more || tunnel->taking || !tunnel->holder || !session_has_room(tunnel->holder)) return;
    if (!pg_bus_holds_lease(broker->bus)) return; /* they may be another's; the heartbeat comes back to it */
    /* First, so that a bell that rings while the answer is under way is heard. */
    tunnel->more = false;
    tunnel->taking = pg_bus_take(broker->bus, &tunnel->id, PG_BUS_TAKE_MAX);
    if (!tunnel->taking) tunnel->more = true; /* the bus is down: attaching again comes first, then we come back */
}

void tunnel_on_taken(void *owner, const struct pg_id *id, size_t count, enum pg_bus_result result) {
    struct broker *broker = owner;
    struct tunnel *tunnel = tunnel_find(broker, id);
    if (!tunnel) return;
    tunnel->taking = false;
    /* An error is no end of the list; but asking again at once would be a circle: attaching again or the next bell
     * does. */
    if (result == PG_BUS_OK && count == PG_BUS_TAKE_MAX) tunnel->more = true;
    if (tunnel->sessions) tunnel_take(broker, tunnel);
    else tunnel_release(broker, tunnel);
}

static void drop_malformed(struct broker *broker, const struct pg_id *id, const char *what) {
    broker->counters.dropped[DROP_MALFORMED]++;
    pg_log(broker->log, PG_LOG_WARN, &(struct pg_log_about){.tunnel = id}, "dropped a frame from Redis: %s", what);
}

/* False, and counted, when it cannot be read, or its visitor has an answer already. */
static bool is_to_be_done(struct broker *broker, const struct pg_id *tunnel, const struct pg_frame *frame) {
    struct pg_open open;
    const char *wrong = pg_open_decode(frame, &open);
    bool late = !wrong && open.deadline_unix_ms < pg_clock_unix_ms();
    if (wrong) drop_malformed(broker, tunnel, wrong);
    if (late) broker->counters.dropped[DROP_EXPIRED]++;
    return !wrong && !late;
}

static void pass_on(struct broker *broker, struct session *session, const uint8_t *bytes, size_t length) {
    broker->counters.requests++;
    session_send(session, bytes, length);
}

void tunnel_on_request(void *owner, const struct pg_id *id, const uint8_t *bytes, size_t length) {
    struct broker *broker = owner;
    struct tunnel *tunnel = tunnel_find(broker, id);
    struct pg_frame frame;
    const char *wrong = pg_frame_decode(bytes, length, &frame);
    if (!wrong && frame.type != PG_OPEN) wrong = "it is no OPEN";
    if (wrong) drop_malformed(broker, id, wrong);
    if (wrong || !is_to_be_done(broker, id, &frame)) return;
    if (tunnel && tunnel->holder && pg_bus_holds_lease(broker->bus)) pass_on(broker, tunnel->holder, bytes, length);
    else broker->counters.dropped[DROP_NO_SESSION]++; /* the client went while they were under way: sent again by the handler */
}

/* One that was sent straight to a session (NULL: it is over) is that one's or nobody's: in the list it could be met by another life of the
 * client, after the handler has taken its copies out. Nor may it reach this life when another has attached elsewhere by now. */
static void on_straight_request(struct broker *broker, struct session *session, const struct pg_envelope *envelope,
                                const struct pg_frame *frame, const uint8_t *bytes, size_t length) {
    const struct pg_control refusal = {.kind = PG_NOT_TAKEN, .exchange = frame->exchange, .session = envelope->session};
    if (!is_to_be_done(broker, &envelope->tunnel, frame)) return;
    if (session && session == session->tunnel->holder && session_holds(session) && session_has_room(session)) {
        pass_on(broker, session, bytes, length);
        return;
    }
    broker->counters.not_taken++;
    pg_bus_send_control(broker->bus, &frame->handler, &refusal);
}

void tunnel_on_message(void *owner, const struct pg_envelope *envelope, const uint8_t *bytes, size_t length) {
    struct broker *broker = owner;
    struct tunnel *tunnel = tunnel_find(broker, &envelope->tunnel);
    struct session *session = tunnel ? tunnel_session(tunnel, envelope->session) : NULL;
    struct pg_frame frame;
    const char *wrong = pg_frame_decode(bytes, length, &frame);
    if (!wrong && frame.type != PG_OPEN && frame.type != PG_DATA && frame.type != PG_ACK && frame.type != PG_RESUME &&
        frame.type != PG_RESET)
        wrong = "a type that no handler sends to a session";
    if (wrong) drop_malformed(broker, &envelope->tunnel, wrong);
    else if (frame.type == PG_OPEN) on_straight_request(broker, session, envelope, &frame, bytes, length);
    else if (session && session->announced) session_send(session, bytes, length);
    else broker->counters.dropped[DROP_NO_SESSION]++; /* ATTACHED comes first: whoever sent this asks again */
}
