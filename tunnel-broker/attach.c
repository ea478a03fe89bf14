#include "attach.h"

#include "broker.h"
#include "clock.h"
#include "session.h"

#include <utlist.h>

static void leave_line(struct broker *broker, struct session *session) {
    if (!session->in_line) return;
    session->in_line = false;
    DL_DELETE2(broker->line.first, session, line_prev, line_next);
}

/* Asks for those in line. Pacing is by answers: never more than ATTACH_AT_ONCE are at Redis, so that ten thousand
 * clients that attach again leave room for requests. */
static void advance(struct broker *broker) {
    while (broker->line.first && broker->line.asked < ATTACH_AT_ONCE) {
        struct session *session = broker->line.first;
        if (!pg_bus_attach(broker->bus, &session->tunnel->id, &session->instance, session->id)) return; /* on_state tells */
        leave_line(broker, session);
        session->state = ATTACH_ASKED;
        broker->line.asked++;
    }
}

static void stand_in_line(struct broker *broker, struct session *session) {
    session->state = ATTACH_IN_LINE;
    agenda_remove(&session->upkeep);
    if (session->in_line) return;
    session->in_line = true;
    DL_APPEND2(broker->line.first, session, line_prev, line_next);
}

void attach_request(struct broker *broker, struct session *session) {
    stand_in_line(broker, session);
    advance(broker);
}

void attach_forget(struct broker *broker, struct session *session) {
    leave_line(broker, session);
    agenda_remove(&session->upkeep);
}

void attach_all_again(struct broker *broker) {
    struct tunnel *tunnel, *next;
    struct session *session;
    HASH_ITER(hh, broker->tunnels, tunnel, next) {
        DL_FOREACH(tunnel->sessions, session) {
            if (session->state != ATTACH_ASKED) stand_in_line(broker, session);
        }
    }
    advance(broker);
}

static void ask_later(struct broker *broker, struct session *session) {
    session->state = ATTACH_LATER;
    agenda_put(&broker->agenda, &broker->retry, &session->upkeep);
}

void attach_on_retry(void *owner, struct agenda_entry *entry) {
    attach_request(owner, AGENDA_OWNER(entry, struct session, upkeep));
}

/* --- somebody else has it, or had it --- */

static void tell(struct broker *broker, const struct pg_id *process, enum pg_control_kind kind, const struct pg_id *tunnel,
                 uint64_t session) {
    const struct pg_control control = {.kind = kind, .tunnel = *tunnel, .session = session};
    if (pg_id_equal(process, &broker->process)) attach_on_control(broker, &control);
    else pg_bus_send_control(broker->bus, process, &control); /* lost with Redis: asking again repeats it */
}

void attach_on_control(void *owner, const struct pg_control *control) {
    struct broker *broker = owner;
    struct tunnel *tunnel = tunnel_find(broker, &control->tunnel);
    struct session *session = tunnel ? tunnel_session(tunnel, control->session) : NULL;
    switch (control->kind) {
    case PG_BELL:
        if (!tunnel) break;
        tunnel->more = true;
        tunnel_take(broker, tunnel);
        break;
    case PG_PROBE:
        if (session) session_probe(session);
        else pg_bus_detach(broker->bus, &control->tunnel, control->session); /* a route that outlived its session */
        break;
    case PG_REPLACED:
        if (session) session_end(session, SESSION_REPLACED);
        break;
    case PG_ROUTED:
    case PG_NOT_TAKEN:
    case PG_MOVED: break; /* for handlers */
    }
}

static void refused(struct broker *broker, struct session *session, const struct pg_id *holder, uint64_t holder_session) {
    uint64_t now = pg_clock_ms();
    if (session->taken_since_ms == 0) session->taken_since_ms = now;
    if (now - session->taken_since_ms >= ATTACH_PATIENCE_MS) {
        broker->counters.attaches[ATTACH_TAKEN]++;
        session_end(session, SESSION_TAKEN);
        return;
    }
    ask_later(broker, session);
    tell(broker, holder, PG_PROBE, &session->tunnel->id, holder_session);
}

static void holds(struct broker *broker, struct session *session) {
    struct tunnel *tunnel = session->tunnel;
    struct session *before = tunnel->holder;
    session->state = ATTACH_HOLDS;
    session->taken_since_ms = 0;
    tunnel->holder = session;
    agenda_put(&broker->agenda, &broker->remember, &session->upkeep);
    if (before && before != session)
        session_end(before, pg_id_equal(&before->instance, &session->instance) ? SESSION_REPLACED : SESSION_TAKEN);
    broker->counters.attaches[session->announced ? ATTACH_AGAIN : ATTACH_OK]++;
    tunnel->more = true; /* requests may have waited for this */
    tunnel_take(broker, tunnel);
    session_announce(session); /* still before them */
}

void attach_on_answer(void *owner, const struct pg_id *id, uint64_t session_id, enum pg_bus_result result,
                      const struct pg_id *holder, uint64_t holder_session) {
    struct broker *broker = owner;
    struct tunnel *tunnel = tunnel_find(broker, id);
    struct session *session = tunnel ? tunnel_session(tunnel, session_id) : NULL;
    broker->line.asked--;
    if (session && result == PG_BUS_OK) {
        bool replaces = !pg_id_is_zero(holder) && holder_session != session_id;
        holds(broker, session);
        if (replaces) tell(broker, holder, PG_REPLACED, id, holder_session);
    } else if (session && result == PG_BUS_TAKEN) {
        refused(broker, session, holder, holder_session);
    } else if (session) {
        ask_later(broker, session); /* Redis is full or went away */
    }
    advance(broker);
}
