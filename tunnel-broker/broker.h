/* Everything the program holds, and its life: start, drain, end. One per process; all on one loop. */
#ifndef BROKER_BROKER_H
#define BROKER_BROKER_H

#include "agenda.h"
#include "attach.h"
#include "bus.h"
#include "config.h"
#include "counters.h"
#include "heap.h"
#include "listener.h"
#include "service.h"
#include "tunnel.h"
#include "watchdog.h"
#include "websocket.h"

enum { BROKER_CLIENTS, BROKER_ADMIN, BROKER_LISTENERS };

struct broker {
    const struct config *config;
    const struct pg_log *log;
    struct pg_id process; /* names this life of the program in Redis */
    uv_loop_t loop;
    struct pg_bus *bus; /* NULL once it is being closed */
    struct agenda agenda;
    struct agenda_queue idle, pong, probe, stalled, retry, remember; /* of sessions: see session.h and attach.h */
    struct listener listeners[BROKER_LISTENERS];
    struct websocket_server *server;
    struct tunnel *tunnels; /* by id: the ones that have a session or are being read */
    struct attach_line line;
    struct counters counters;
    uint64_t started_ms; /* Unix time */
    size_t sessions;
    struct pg_heap_spare spare;
    bool settled;         /* a client has come: what only the start needs was given back */
    uint64_t max_clients; /* as many as there may be descriptors for */
    uv_signal_t signals[2];
    uv_timer_t deadline; /* of the drain, and of the beginning */
    uint64_t closing_ms, end_by_ms;
    struct pg_watchdog watchdog;
    int exit_status;
    enum pg_phase phase;
};

/* Runs until it is told to stop. `config` and `log` are borrowed. Returns the exit status. */
int broker_run(const struct config *config, const struct pg_log *log);

/* A session is gone: a broker that drains may have waited for it. */
void broker_session_ended(struct broker *broker);

#endif
