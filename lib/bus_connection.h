/* One connection to Redis on a uv loop: connects, logs in, and connects again for ever. Internal to the bus.
 *
 * hiredis' own libuv adapter ignores poll errors (a refused connect never calls back) and changes the poll set at every command
 * (a system call each); this one does neither: commands are written by pg_connection_flush, once a loop turn. */
#ifndef PG_BUS_CONNECTION_H
#define PG_BUS_CONNECTION_H

#include "bus_url.h"
#include "log.h"

#include <hiredis/async.h>
#include <uv.h>

struct pg_connection;

struct pg_connection_options {
    uv_loop_t *loop;
    const struct pg_log *log;
    const struct pg_bus_url *url; /* borrowed for the connection's life */
    const char *name;             /* for the log; borrowed */
    void (*on_up)(void *owner);   /* logged in; commands may follow */
    /* Redis answers, and does not take the login or the database. True: the owner has told of it and ends; false: it is logged here, as
     * everything else is that goes wrong. It is tried again in any case. */
    bool (*on_refused)(void *owner, const char *why);
    void (*on_down)(void *owner); /* it was up and is lost; the callbacks of all commands have come before, with NULL */
    void *owner;
};

/* Begins to connect. NULL when memory is out. */
struct pg_connection *pg_connection_new(const struct pg_connection_options *options);

/* Drops the connection at once (commands under way call back with NULL), then calls `on_closed` from the loop and frees. */
void pg_connection_close(struct pg_connection *connection, void (*on_closed)(void *owner));

/* Drops the connection and makes a new one: for a peer that has stopped answering. */
void pg_connection_restart(struct pg_connection *connection, const char *why);

bool pg_connection_is_up(const struct pg_connection *connection);

/* Times it was up. */
uint64_t pg_connection_times_up(const struct pg_connection *connection);

/* The last error, or "". */
const char *pg_connection_error(const struct pg_connection *connection);

/* Queues a command; the bytes are copied. `callback` gets each reply once, NULL when the connection is lost first; it may be
 * NULL itself. False when it is not up. */
bool pg_connection_command(struct pg_connection *connection, redisCallbackFn *callback, void *argument, int count,
                           const char **words, const size_t *lengths);

/* Writes what is queued. Call it before the loop waits. */
void pg_connection_flush(struct pg_connection *connection);

#endif
