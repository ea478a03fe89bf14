#include "bus_inside.h"

#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void pg_words_add_bytes(struct pg_words *words, const char *text, size_t length) {
    assert(words->count < PG_WORDS_MAX); /* a mistake of ours, never a peer's doing */
    words->text[words->count] = text;
    words->length[words->count++] = length;
}

void pg_words_add(struct pg_words *words, const char *text) {
    pg_words_add_bytes(words, text, strlen(text));
}

void pg_words_add_key(struct pg_words *words, const struct pg_key *key) {
    pg_words_add_bytes(words, key->text, key->length);
}

void pg_words_begin_script(struct pg_words *words, const struct pg_bus *bus, enum pg_script script, const char *key_count) {
    words->count = 0;
    pg_words_add(words, "EVALSHA");
    pg_words_add(words, bus->sha[script]);
    pg_words_add(words, key_count);
}

bool pg_words_run(struct pg_connection *connection, redisCallbackFn *callback, void *argument, struct pg_words *words) {
    return pg_connection_command(connection, callback, argument, words->count, words->text, words->length);
}

const char *pg_decimal(char to[24], uint64_t value) {
    snprintf(to, 24, "%llu", (unsigned long long)value);
    return to;
}

enum pg_bus_result pg_bus_error_result(const redisReply *reply) {
    if (!reply) return PG_BUS_DOWN;
    if (reply->type == REDIS_REPLY_ERROR) return strncmp(reply->str, "OOM", 3) == 0 ? PG_BUS_NO_MEMORY : PG_BUS_DOWN;
    return PG_BUS_OK;
}

/* Errors that no caller's result tells apart: log them once each time they come. */
void pg_bus_log_error(struct pg_bus *bus, const char *what, const redisReply *reply) {
    if (bus->closing || !reply || reply->type != REDIS_REPLY_ERROR) return;
    pg_log(bus->options.log, PG_LOG_WARN, NULL, "redis: %s failed: %s", what, reply->str);
    /* A restarted Redis or SCRIPT FLUSH: load them anew by connecting anew, from the heartbeat. */
    if (strncmp(reply->str, "NOSCRIPT", 8) == 0) bus->heartbeat_answered_ms = 0;
}

struct pg_call *pg_bus_call(struct pg_bus *bus, const struct pg_id *tunnel, uint64_t session) {
    struct pg_call *call = malloc(sizeof *call);
    if (call) *call = (struct pg_call){bus, *tunnel, session};
    return call;
}
