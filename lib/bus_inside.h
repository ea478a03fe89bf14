/* The inside of the bus, shared by bus.c (connections, inbox, life), bus_send.c and bus_route.c; and the commands they are made of.
 * Not for others: they use bus.h. */
#ifndef PG_BUS_INSIDE_H
#define PG_BUS_INSIDE_H

#include "bus.h"
#include "bus_connection.h"
#include "bus_keys.h"
#include "bus_outbox.h"
#include "bus_scripts.h"

enum {
    PG_SHA_LENGTH = 40,
    PG_CHECKED_SLOTS = 64,
    PG_WORDS_MAX = PG_BATCH_MAX + 16 /* a full batch, and what stands before it */
};

enum pg_known { PG_KNOWN_ASKED, PG_KNOWN_ALIVE, PG_KNOWN_DEAD };

/* What is known of a process that is sent to. */
struct checked {
    struct pg_id process;
    enum pg_known known;
    uint64_t when_ms;      /* it was asked then */
    struct pg_batch *held; /* what waits for the first answer */
};

struct pg_bus {
    struct pg_bus_options options;
    struct pg_bus_url url;
    struct pg_connection *commands;
    struct pg_connection *inbox;
    uv_prepare_t flush; /* runs before the loop waits */
    uv_timer_t heartbeat;
    struct pg_key inbox_key;
    struct pg_key alive_key;
    char sha[PG_SCRIPTS][PG_SHA_LENGTH + 1];
    unsigned scripts_loaded;
    bool alive; /* the alive-key is set: others can reach us */
    bool told_up;
    bool lost; /* the commands' connection broke, and the inbox's did not since */
    bool closing;
    bool refused;       /* on_refused was called */
    bool inbox_refused; /* an error in the place of messages */
    uint64_t pop_answered_ms;
    uint64_t heartbeat_answered_ms;
    uint64_t heartbeat_sent_ms;
    uint64_t lease_from_ms; /* when the heartbeat was sent that was answered last */
    bool lapsed;            /* a heartbeat found no alive-key: others may have taken us for dead. Until connected anew */
    struct checked checked[PG_CHECKED_SLOTS];
    struct pg_outbox outbox;
    size_t unanswered;     /* bytes in batches that Redis has not answered */
    unsigned handles_open; /* of connections and handles, while closing */
    void (*on_closed)(void *owner);
    struct pg_bus_counters counters;
};

/* What a command's callback needs to know; freed there. */
struct pg_call {
    struct pg_bus *bus;
    struct pg_id tunnel; /* or the process, of EXISTS */
    uint64_t session;
};

/* A command being put together. Words are borrowed until it is run. */
struct pg_words {
    const char *text[PG_WORDS_MAX];
    size_t length[PG_WORDS_MAX];
    int count;
};

void pg_words_add(struct pg_words *words, const char *text);
void pg_words_add_bytes(struct pg_words *words, const char *text, size_t length);
void pg_words_add_key(struct pg_words *words, const struct pg_key *key);

/* EVALSHA of one of the scripts, which must be loaded; keys and arguments follow. `key_count` in decimal. */
void pg_words_begin_script(struct pg_words *words, const struct pg_bus *bus, enum pg_script script, const char *key_count);

/* Runs it, as pg_connection_command. */
bool pg_words_run(struct pg_connection *connection, redisCallbackFn *callback, void *argument, struct pg_words *words);

/* The number as text; returns `to`. */
const char *pg_decimal(char to[24], uint64_t value);

/* What a call's callback needs; NULL when memory is out. The callback frees it. */
struct pg_call *pg_bus_call(struct pg_bus *bus, const struct pg_id *tunnel, uint64_t session);

/* OK, or what an error or missing answer means. */
enum pg_bus_result pg_bus_error_result(const redisReply *reply);

/* Logs an error answer, if it is one. */
void pg_bus_log_error(struct pg_bus *bus, const char *what, const redisReply *reply);

/* Makes commands of all that is gathered. */
void pg_bus_push_all(struct pg_bus *bus);

/* Frees what still waits to be sent, when the bus is closed. */
void pg_bus_drop_held(struct pg_bus *bus);

#endif
