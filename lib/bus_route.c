#include "bus_inside.h"

#include <stdlib.h>
#include <string.h>

static void on_took(redisAsyncContext *context, void *answer, void *argument) {
    struct pg_call call = *(struct pg_call *)argument;
    struct pg_bus *bus = call.bus;
    const redisReply *reply = answer;
    size_t count = 0;
    (void)context;
    free(argument);
    if (bus->closing) return;
    pg_bus_log_error(bus, "taking requests", reply);
    if (reply && reply->type == REDIS_REPLY_ARRAY) count = reply->elements;
    for (size_t i = 0; i < count && !bus->closing; i++) {
        const redisReply *element = reply->element[i];
        if (element->type != REDIS_REPLY_STRING || element->len < PG_ENVELOPE + PG_FRAME_HEADER || element->len > PG_MESSAGE_MAX) {
            if (bus->options.events.on_garbage)
                bus->options.events.on_garbage(bus->options.owner, "a request of impossible length");
            continue;
        }
        bus->counters.messages_received++;
        bus->counters.bytes_received += element->len;
        bus->options.events.on_request(bus->options.owner, &call.tunnel, (const uint8_t *)element->str + PG_ENVELOPE,
                                       element->len - PG_ENVELOPE);
    }
    if (!bus->closing) bus->options.events.on_taken(bus->options.owner, &call.tunnel, count, pg_bus_error_result(reply));
}

bool pg_bus_take(struct pg_bus *bus, const struct pg_id *tunnel, unsigned max) {
    struct pg_call *call = pg_bus_is_up(bus) ? pg_bus_call(bus, tunnel, 0) : NULL;
    struct pg_key key = pg_key_requests(tunnel);
    struct pg_words words = {.count = 0};
    char count[24];
    if (!call) return false;
    pg_words_add(&words, "LPOP");
    pg_words_add_key(&words, &key);
    pg_words_add(&words, pg_decimal(count, max));
    if (pg_words_run(bus->commands, on_took, call, &words)) return true;
    free(call);
    return false;
}

static void on_attached(redisAsyncContext *context, void *answer, void *argument) {
    struct pg_call call = *(struct pg_call *)argument;
    struct pg_bus *bus = call.bus;
    const redisReply *reply = answer;
    struct pg_id holder = {{0}};
    uint64_t holder_session = 0;
    (void)context;
    free(argument);
    if (bus->closing) return;
    pg_bus_log_error(bus, "attaching", reply);
    enum pg_bus_result result = pg_bus_error_result(reply);
    if (result == PG_BUS_OK) {
        result = PG_BUS_DOWN; /* unless it is what the script returns */
        if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 && reply->element[0]->type == REDIS_REPLY_INTEGER &&
            reply->element[1]->type == REDIS_REPLY_STRING && reply->element[2]->type == REDIS_REPLY_STRING) {
            result = reply->element[0]->integer ? PG_BUS_TAKEN : PG_BUS_OK;
            pg_id_parse_hex(reply->element[1]->str, reply->element[1]->len, &holder);
            holder_session = strtoull(reply->element[2]->str, NULL, 10);
        }
    }
    bus->options.events.on_attach(bus->options.owner, &call.tunnel, call.session, result, &holder, holder_session);
}

static void on_found(redisAsyncContext *context, void *answer, void *argument) {
    struct pg_call call = *(struct pg_call *)argument;
    struct pg_bus *bus = call.bus;
    const redisReply *reply = answer;
    struct pg_id broker = {{0}};
    uint64_t session = 0;
    (void)context;
    free(argument);
    pg_bus_log_error(bus, "finding a route", reply);
    if (bus->closing || !reply || reply->type != REDIS_REPLY_ARRAY || reply->elements != 2) return;
    if (reply->element[0]->type == REDIS_REPLY_STRING && reply->element[1]->type == REDIS_REPLY_STRING &&
        pg_id_parse_hex(reply->element[0]->str, reply->element[0]->len, &broker))
        session = strtoull(reply->element[1]->str, NULL, 10);
    bus->options.events.on_route(bus->options.owner, &call.tunnel, &broker, session);
}

bool pg_bus_find_route(struct pg_bus *bus, const struct pg_id *tunnel) {
    struct pg_call *call = pg_bus_is_up(bus) ? pg_bus_call(bus, tunnel, 0) : NULL;
    struct pg_key key = pg_key_route(tunnel);
    struct pg_words words = {.count = 0};
    if (!call) return false;
    pg_words_add(&words, "HMGET");
    pg_words_add_key(&words, &key);
    pg_words_add(&words, "broker");
    pg_words_add(&words, "session");
    if (pg_words_run(bus->commands, on_found, call, &words)) return true;
    free(call);
    return false;
}

/* Runs one of the scripts that take broker, session, [instance,] remember ms. */
static bool run_route_script(struct pg_bus *bus, enum pg_script script, const struct pg_id *tunnel, uint64_t session,
                             const struct pg_id *instance, redisCallbackFn *callback, void *argument) {
    struct pg_key key = pg_key_route(tunnel);
    struct pg_words words;
    char broker[PG_ID_HEX + 1], instance_hex[PG_ID_HEX + 1], number[24], ms[24];
    uint8_t routed[PG_CONTROL], moved[PG_CONTROL];
    if (bus->scripts_loaded < PG_SCRIPTS) return false;
    pg_words_begin_script(&words, bus, script, "1");
    pg_words_add_key(&words, &key);
    pg_words_add(&words, pg_id_hex(&bus->options.process, broker));
    pg_words_add(&words, pg_decimal(number, session));
    if (instance) pg_words_add(&words, pg_id_hex(instance, instance_hex));
    pg_words_add(&words, pg_decimal(ms, bus->options.remember_ms));
    pg_control_put(routed, &(struct pg_control){.kind = PG_ROUTED, .tunnel = *tunnel, .session = session});
    pg_control_put(moved, &(struct pg_control){.kind = PG_MOVED, .tunnel = *tunnel, .session = session});
    if (instance) pg_words_add_bytes(&words, (const char *)routed, sizeof routed);
    if (instance) pg_words_add_bytes(&words, (const char *)moved, sizeof moved);
    return pg_words_run(bus->commands, callback, argument, &words);
}

bool pg_bus_attach(struct pg_bus *bus, const struct pg_id *tunnel, const struct pg_id *instance, uint64_t session) {
    struct pg_call *call = pg_bus_is_up(bus) ? pg_bus_call(bus, tunnel, session) : NULL;
    if (!call) return false;
    if (run_route_script(bus, PG_SCRIPT_ATTACH, tunnel, session, instance, on_attached, call)) return true;
    free(call);
    return false;
}

void pg_bus_detach(struct pg_bus *bus, const struct pg_id *tunnel, uint64_t session) {
    run_route_script(bus, PG_SCRIPT_DETACH, tunnel, session, NULL, NULL, NULL);
}

void pg_bus_remember(struct pg_bus *bus, const struct pg_id *tunnel, uint64_t session) {
    run_route_script(bus, PG_SCRIPT_REMEMBER, tunnel, session, NULL, NULL, NULL);
}
