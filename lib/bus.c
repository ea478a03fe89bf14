#include "bus.h"

#include "bus_inside.h"
#include "clock.h"

#include <stdlib.h>
#include <string.h>

enum {
    POP_COUNT = 128,
    POP_SECONDS = 10,  /* BLMPOP comes back this often, which shows that the connection lives */
    POP_DEPTH = 2,     /* the next BLMPOP waits at Redis already when one is answered: no round trip between */
    SILENCE_MS = 6000, /* no answer for so long past its time: the connection is dead */
    CLOSE_MS = 1000,
    HANDLERS_MS = 60000 /* the set of handlers is gone so long after the last heartbeat of any */
};

/* --- the inbox --- */

static void dispatch(struct pg_bus *bus, const redisReply *element) {
    const uint8_t *bytes = (const uint8_t *)element->str;
    struct pg_control control;
    if (element->type != REDIS_REPLY_STRING) return;
    bus->counters.messages_received++;
    bus->counters.bytes_received += element->len;
    if (pg_control_decode(bytes, element->len, &control)) {
        if (bus->options.events.on_control) bus->options.events.on_control(bus->options.owner, &control);
    } else if (element->len < PG_ENVELOPE + PG_FRAME_HEADER || element->len > PG_MESSAGE_MAX) {
        if (bus->options.events.on_garbage) bus->options.events.on_garbage(bus->options.owner, "a message of impossible length");
    } else if (bus->options.events.on_message) {
        struct pg_envelope envelope = pg_envelope_get(bytes);
        bus->options.events.on_message(bus->options.owner, &envelope, bytes + PG_ENVELOPE, element->len - PG_ENVELOPE);
    }
}

static void pop(struct pg_bus *bus);

static void on_popped(redisAsyncContext *context, void *answer, void *argument) {
    struct pg_bus *bus = argument;
    const redisReply *reply = answer;
    (void)context;
    if (!reply || bus->closing) return;
    bus->pop_answered_ms = pg_clock_ms();
    if (reply->type == REDIS_REPLY_ERROR) {
        /* Not asked again at once: a Redis that refuses would be asked in a circle. The next heartbeat connects anew. */
        pg_bus_log_error(bus, "reading the inbox", reply);
        bus->inbox_refused = true;
        return;
    }
    pop(bus);
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2) return;
    const redisReply *list = reply->element[1];
    for (size_t i = 0; list->type == REDIS_REPLY_ARRAY && i < list->elements && !bus->closing; i++) dispatch(bus, list->element[i]);
}

static void pop(struct pg_bus *bus) {
    struct pg_words words = {.count = 0};
    char seconds[24], count[24];
    pg_words_add(&words, "BLMPOP");
    pg_words_add(&words, pg_decimal(seconds, POP_SECONDS));
    pg_words_add(&words, "1");
    pg_words_add_key(&words, &bus->inbox_key);
    pg_words_add(&words, "LEFT");
    pg_words_add(&words, "COUNT");
    pg_words_add(&words, pg_decimal(count, POP_COUNT));
    pg_words_run(bus->inbox, on_popped, bus, &words);
}

/* --- up and down --- */

static void tell_state(struct pg_bus *bus) {
    bool up = pg_bus_is_up(bus);
    if (up == bus->told_up || bus->closing) return;
    bus->told_up = up;
    if (bus->options.events.on_state) bus->options.events.on_state(bus->options.owner, up);
}

static void on_lease_extended(redisAsyncContext *context, void *answer, void *argument) {
    struct pg_bus *bus = argument;
    const redisReply *reply = answer;
    (void)context;
    if (bus->alive && reply && reply->type == REDIS_REPLY_INTEGER && reply->integer == 0) bus->lapsed = true;
}

static void on_alive_set(redisAsyncContext *context, void *answer, void *argument) {
    struct pg_bus *bus = argument;
    const redisReply *reply = answer;
    uint64_t now = pg_clock_ms();
    (void)context;
    if (!reply || bus->closing) return;
    pg_bus_log_error(bus, "the heartbeat", reply);
    bool full = reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "OOM", 3) == 0;
    if (reply->type == REDIS_REPLY_ERROR && !full) return;
    /* Too late: others may have our routes by now. The next heartbeat connects anew, which sets all up again. */
    bool late = bus->alive && (bus->lapsed || (!full && now - bus->lease_from_ms >= PG_BUS_ALIVE_MS));
    bus->heartbeat_answered_ms = late && !full ? 0 : now;
    if (late) return;
    bus->lease_from_ms = bus->heartbeat_sent_ms;
    bus->alive = true;
    tell_state(bus);
}

static void register_handler(struct pg_bus *bus) {
    struct pg_words add = {.count = 0}, expire = {.count = 0};
    char hex[PG_ID_HEX + 1], ms[24];
    pg_words_add(&add, "SADD");
    pg_words_add(&add, PG_KEY_HANDLERS);
    pg_words_add(&add, pg_id_hex(&bus->options.process, hex));
    pg_words_run(bus->commands, NULL, NULL, &add);
    pg_words_add(&expire, "PEXPIRE");
    pg_words_add(&expire, PG_KEY_HANDLERS);
    pg_words_add(&expire, pg_decimal(ms, HANDLERS_MS));
    pg_words_run(bus->commands, NULL, NULL, &expire);
}

static void beat(struct pg_bus *bus) {
    struct pg_words words = {.count = 0};
    char lease[24];
    /* A Redis that is full refuses SET, but not this: whoever lives is not to look dead. */
    pg_words_add(&words, "PEXPIRE");
    pg_words_add_key(&words, &bus->alive_key);
    pg_words_add(&words, pg_decimal(lease, PG_BUS_ALIVE_MS));
    pg_words_run(bus->commands, on_lease_extended, bus, &words);
    words.count = 0;
    pg_words_add(&words, "SET");
    pg_words_add_key(&words, &bus->alive_key);
    pg_words_add(&words, "1");
    pg_words_add(&words, "PX");
    pg_words_add(&words, pg_decimal(lease, PG_BUS_ALIVE_MS));
    bus->heartbeat_sent_ms = pg_clock_ms();
    pg_words_run(bus->commands, on_alive_set, bus, &words);
    if (bus->options.hears_routes) register_handler(bus);
}

static void on_script_loaded(redisAsyncContext *context, void *answer, void *argument) {
    struct pg_bus *bus = argument;
    const redisReply *reply = answer;
    (void)context;
    if (!reply || bus->closing) return;
    if (reply->type != REDIS_REPLY_STRING || reply->len != PG_SHA_LENGTH || bus->scripts_loaded >= PG_SCRIPTS) {
        pg_bus_log_error(bus, "loading a script (Redis 7 or newer is needed)", reply);
        return;
    }
    memcpy(bus->sha[bus->scripts_loaded++], reply->str, PG_SHA_LENGTH); /* answers come in order */
    if (bus->scripts_loaded == PG_SCRIPTS) beat(bus);
}

static void on_commands_up(void *owner) {
    struct pg_bus *bus = owner;
    /* A Redis whose machine died says nothing on a connection where only it would speak. */
    if (bus->lost && pg_connection_is_up(bus->inbox)) pg_connection_restart(bus->inbox, "the other connection broke");
    bus->lost = false;
    bus->scripts_loaded = 0;
    bus->heartbeat_answered_ms = pg_clock_ms();
    for (enum pg_script script = 0; script < PG_SCRIPTS; script++) {
        struct pg_words words = {.count = 0};
        pg_words_add(&words, "SCRIPT");
        pg_words_add(&words, "LOAD");
        pg_words_add(&words, pg_script_text(script));
        pg_words_run(bus->commands, on_script_loaded, bus, &words);
    }
}

static void on_commands_down(void *owner) {
    struct pg_bus *bus = owner;
    bus->alive = bus->lapsed = false;
    bus->lost = pg_connection_is_up(bus->inbox);
    tell_state(bus);
}

static void on_inbox_up(void *owner) {
    struct pg_bus *bus = owner;
    bus->pop_answered_ms = pg_clock_ms();
    for (int i = 0; i < POP_DEPTH; i++) pop(bus);
    tell_state(bus);
}

static void on_inbox_down(void *owner) {
    struct pg_bus *bus = owner;
    bus->lost = false;
    tell_state(bus);
}

/* Of a Redis that we have never been in: once we have, it is somebody else's mistake, and may be mended there. */
static bool on_refused(void *owner, const char *why) {
    struct pg_bus *bus = owner;
    char sentence[320];
    if (bus->refused) return true;
    if (!bus->options.events.on_refused || bus->closing || pg_connection_times_up(bus->commands) > 0) return false;
    bool login = strstr(why, "NOAUTH") || strstr(why, "WRONGPASS");
    snprintf(sentence, sizeof sentence, "Redis answers, but %s%s", why,
             login ? " (the password belongs into --redis-password-file, a user into the URL)" : "");
    bus->refused = true;
    bus->options.events.on_refused(bus->options.owner, sentence);
    return true;
}

static void on_heartbeat(uv_timer_t *timer) {
    struct pg_bus *bus = timer->data;
    uint64_t now = pg_clock_ms();
    if (bus->options.events.on_heartbeat) bus->options.events.on_heartbeat(bus->options.owner);
    if (pg_connection_is_up(bus->commands)) {
        uint64_t answered = bus->heartbeat_answered_ms;
        if (now - answered > SILENCE_MS)
            pg_connection_restart(bus->commands, answered ? "it stopped answering" : "it has forgotten us");
        else if (bus->scripts_loaded == PG_SCRIPTS) beat(bus);
    }
    if (bus->inbox_refused && pg_connection_is_up(bus->inbox)) pg_connection_restart(bus->inbox, "it refused a command");
    bus->inbox_refused = false;
    /* The second of the waiting commands is answered a whole turn after the first. */
    if (pg_connection_is_up(bus->inbox) && now - bus->pop_answered_ms > POP_DEPTH * POP_SECONDS * 1000 + SILENCE_MS)
        pg_connection_restart(bus->inbox, "it stopped answering");
}

bool pg_bus_is_up(const struct pg_bus *bus) {
    return bus->alive && !bus->closing && pg_connection_is_up(bus->commands) && pg_connection_is_up(bus->inbox);
}

bool pg_bus_holds_lease(const struct pg_bus *bus) {
    return pg_bus_is_up(bus) && !bus->lapsed && pg_clock_ms() - bus->lease_from_ms < PG_BUS_ALIVE_MS - PG_BUS_HEARTBEAT_MS;
}

const struct pg_bus_counters *pg_bus_counters(const struct pg_bus *bus) {
    struct pg_bus_counters *counters = (struct pg_bus_counters *)&bus->counters;
    uint64_t times = pg_connection_times_up(bus->commands);
    counters->reconnects = times ? times - 1 : 0;
    return counters;
}

const char *pg_bus_error(const struct pg_bus *bus) {
    const char *error = pg_connection_error(bus->commands);
    return *error ? error : pg_connection_error(bus->inbox);
}

/* --- birth and death --- */

static void flush(struct pg_bus *bus) {
    pg_bus_push_all(bus);
    pg_connection_flush(bus->commands);
    pg_connection_flush(bus->inbox);
}

static void on_flush(uv_prepare_t *prepare) {
    flush(prepare->data);
}

static struct pg_connection *connect_to(struct pg_bus *bus, const char *name, void (*on_up)(void *), void (*on_down)(void *)) {
    return pg_connection_new(&(struct pg_connection_options){.loop = bus->options.loop,
                                                             .log = bus->options.log,
                                                             .url = &bus->url,
                                                             .name = name,
                                                             .on_up = on_up,
                                                             .on_down = on_down,
                                                             .on_refused = on_refused,
                                                             .owner = bus});
}

struct pg_bus *pg_bus_new(const struct pg_bus_options *options) {
    struct pg_bus *bus = calloc(1, sizeof *bus);
    if (!bus) return NULL;
    bus->options = *options;
    bus->inbox_key = pg_key_inbox(&options->process);
    bus->alive_key = pg_key_alive(&options->process);
    bus->url = *options->url;
    bus->options.url = &bus->url;
    bus->commands = connect_to(bus, "commands", on_commands_up, on_commands_down);
    bus->inbox = connect_to(bus, "inbox", on_inbox_up, on_inbox_down);
    if (!bus->commands || !bus->inbox) goto fail; /* only at start and out of memory: the program ends */
    uv_prepare_init(options->loop, &bus->flush);
    uv_timer_init(options->loop, &bus->heartbeat);
    bus->flush.data = bus->heartbeat.data = bus;
    uv_prepare_start(&bus->flush, on_flush);
    uv_timer_start(&bus->heartbeat, on_heartbeat, PG_BUS_HEARTBEAT_MS, PG_BUS_HEARTBEAT_MS);
    return bus;
fail:
    free(bus);
    return NULL;
}

static void on_part_closed(void *owner) {
    struct pg_bus *bus = owner;
    if (--bus->handles_open > 0) return;
    pg_outbox_clear(&bus->outbox);
    pg_bus_drop_held(bus);
    if (bus->on_closed) bus->on_closed(bus->options.owner);
    free(bus);
}

static void on_handle_closed(uv_handle_t *handle) {
    on_part_closed(handle->data);
}

static void close_all(struct pg_bus *bus) {
    if (bus->handles_open) return;
    bus->handles_open = 4;
    uv_close((uv_handle_t *)&bus->flush, on_handle_closed);
    uv_close((uv_handle_t *)&bus->heartbeat, on_handle_closed);
    pg_connection_close(bus->inbox, on_part_closed);
    pg_connection_close(bus->commands, on_part_closed);
}

static void on_close_time(uv_timer_t *timer) {
    close_all(timer->data);
}

static void on_keys_deleted(redisAsyncContext *context, void *answer, void *argument) {
    struct pg_bus *bus = argument;
    (void)context;
    (void)answer;
    /* Not from within the callback: closing frees the context. The timer fires at the next turn. */
    if (!bus->handles_open) uv_timer_start(&bus->heartbeat, on_close_time, 0, 0);
}

void pg_bus_close(struct pg_bus *bus, void (*on_closed)(void *owner)) {
    struct pg_words words = {.count = 0};
    bool up = pg_bus_is_up(bus);
    bus->on_closed = on_closed;
    bus->closing = true; /* no callback from here on, whatever becomes of it */
    if (up) flush(bus);
    pg_words_add(&words, "DEL");
    pg_words_add_key(&words, &bus->alive_key);
    pg_words_add_key(&words, &bus->inbox_key);
    bool deleting = pg_words_run(bus->commands, on_keys_deleted, bus, &words);
    pg_connection_flush(bus->commands);
    uv_timer_start(&bus->heartbeat, on_close_time, deleting ? CLOSE_MS : 0, 0);
}
