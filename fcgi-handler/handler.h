/* pg-handler: everything the program holds. */
#ifndef PG_HANDLER_H
#define PG_HANDLER_H

#include "acks.h"
#include "admin.h"
#include "answer.h"
#include "bus.h"
#include "config.h"
#include "front.h"
#include "heap.h"
#include "listener.h"
#include "metrics.h"
#include "request.h"
#include "service.h"
#include "watchdog.h"
#include "ways.h"

struct exchange;
struct tunnel;

struct handler_counters {
    uint64_t relayed;           /* responses passed on to their end */
    uint64_t answered[ANSWERS]; /* with an answer of our own */
    uint64_t visitors_gone;     /* hung up before the end */
    uint64_t broken;            /* responses broken off after the head */
    uint64_t request_bytes, response_bytes;
    uint64_t dropped_messages;        /* from the bus: garbage, unknown or foreign exchanges */
    uint64_t resumed;                 /* positions taken from clients */
    uint64_t path_changes, waited_ms; /* waited: from the last message by the old way to the first by the new one */
    uint64_t resent_bytes;            /* of request bodies */
    uint64_t duplicates;              /* response frames that were here before */
    uint64_t dispatched_again;        /* to another life of the client */
    struct pg_histogram latency;      /* from the request's head to the response's */
};

struct handler {
    struct handler_config config;
    struct pg_log log;
    uv_loop_t loop;
    uv_signal_t signals[2];
    uv_timer_t drain; /* of the end, and of the beginning */
    struct pg_watchdog watchdog;
    struct listener listener;
    struct admin admin;
    struct front *front;
    struct pg_bus *bus;
    struct pg_id process;
    struct pg_id_pool ids; /* for exchanges */
    struct acks acks;
    struct exchange *exchanges; /* uthash by exchange id */
    struct tunnel *tunnels;     /* uthash by tunnel id: how many exchanges each has */
    struct ways ways;
    uint64_t started_ms; /* Unix time */
    uint64_t in_flight;
    struct pg_heap_spare spare;
    uint64_t open_bytes; /* of OPENs not acknowledged */
    unsigned wide_count; /* exchanges that are wide: at most PG_WIDE_MAX */
    uint64_t bus_up_ms;  /* when the bus last came up */
    enum pg_phase phase;
    uint64_t drain_until_ms; /* what is in flight is ended then */
    int exit_status;
    struct handler_counters counters;
    struct request request; /* scratch: the request at hand */
    char scratch[2 * PG_HEAD_MAX + PG_DATA_MAX];
};

/* Runs the program with its options; returns the exit status. */
int handler_run(const struct handler_config *config, const struct pg_log *log);

/* Ends the program once nothing is in flight: called whenever an exchange ends. */
void handler_check_drained(struct handler *handler);

#endif
