#include "bus_inside.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

enum {
    CHECK_MS = 1000 /* how often it is asked whether a process that is sent to is alive */
};

/* Of the messages from that one to before the other: those that are OPENs. */
static void report_opens(struct pg_bus *bus, const struct pg_batch *batch, size_t from, size_t to, enum pg_bus_result result) {
    for (size_t i = from; i < to && !bus->closing; i++)
        if (bus->options.events.on_open && !pg_id_is_zero(&batch->exchanges[i]))
            bus->options.events.on_open(bus->options.owner, &batch->exchanges[i], result);
}

static void report_undelivered(struct pg_bus *bus, const struct pg_batch *batch, enum pg_bus_result why) {
    bus->counters.undelivered += batch->count;
    if (!bus->closing && bus->options.events.on_undelivered)
        bus->options.events.on_undelivered(bus->options.owner, &batch->to, why);
    if (why != PG_BUS_FULL)
        report_opens(bus, batch, 0, batch->count, why); /* some of these did arrive, and it is not known which */
}

static void on_opened(struct pg_bus *bus, const struct pg_batch *batch, const redisReply *reply) {
    enum pg_bus_result result = pg_bus_error_result(reply);
    size_t taken = 0;
    if (result == PG_BUS_OK && reply->type == REDIS_REPLY_INTEGER) {
        if (reply->integer < 0) result = PG_BUS_NO_TUNNEL;
        else taken = (size_t)reply->integer < batch->count ? (size_t)reply->integer : batch->count;
        report_opens(bus, batch, 0, taken, PG_BUS_OK);
        if (result == PG_BUS_OK) result = PG_BUS_FULL; /* the rest, if any */
    }
    report_opens(bus, batch, taken, batch->count, result);
}

/* Nobody may be there to read it: takes away what was just pushed too much, or all of it. */
static void trim_inbox(struct pg_bus *bus, const struct pg_id *process, uint64_t keep) {
    struct pg_key key = pg_key_inbox(process);
    struct pg_words words = {.count = 0};
    char last[24];
    pg_words_add(&words, keep ? "LTRIM" : "DEL");
    pg_words_add_key(&words, &key);
    if (keep) pg_words_add(&words, "0");
    if (keep) pg_words_add(&words, pg_decimal(last, keep - 1));
    pg_words_run(bus->commands, NULL, NULL, &words);
}

/* The answer to RPUSH: how long the inbox is now. */
static void on_sent(struct pg_bus *bus, const struct pg_batch *batch, const redisReply *reply) {
    enum pg_bus_result result = pg_bus_error_result(reply);
    if (result == PG_BUS_OK && reply->type == REDIS_REPLY_INTEGER) {
        if (reply->integer <= PG_BUS_INBOX_MAX) return;
        trim_inbox(bus, &batch->to, PG_BUS_INBOX_MAX);
        result = PG_BUS_FULL;
    }
    report_undelivered(bus, batch, result);
}

static void push_messages(struct pg_bus *bus, struct pg_batch *batch);

static void refuse_batch(struct pg_bus *bus, struct pg_batch *batch) {
    report_undelivered(bus, batch, PG_BUS_GONE);
    pg_batch_free(batch);
}

/* Sends, or gives up, what waited for the answer. */
static void release_held(struct pg_bus *bus, struct checked *slot) {
    struct pg_batch *batch, *held = slot->held;
    slot->held = NULL;
    while ((batch = held)) {
        DL_DELETE2(held, batch, previous, next);
        bus->unanswered -= batch->bytes;
        if (slot->known == PG_KNOWN_DEAD) refuse_batch(bus, batch);
        else push_messages(bus, batch);
    }
}

/* The answer to EXISTS on the alive-key of a process that is sent to; no answer counts as alive. */
static void on_alive_known(redisAsyncContext *context, void *answer, void *argument) {
    struct pg_call call = *(struct pg_call *)argument;
    struct pg_bus *bus = call.bus;
    const redisReply *reply = answer;
    struct checked *slot = &bus->checked[call.session];
    bool dead = reply && reply->type == REDIS_REPLY_INTEGER && reply->integer == 0;
    (void)context;
    free(argument);
    if (!pg_id_equal(&slot->process, &call.tunnel)) return; /* another one has the slot by now */
    bool was_alive = slot->known == PG_KNOWN_ALIVE;
    slot->known = dead ? PG_KNOWN_DEAD : PG_KNOWN_ALIVE;
    release_held(bus, slot);
    if (!dead || !was_alive || bus->closing) return;
    trim_inbox(bus, &call.tunnel, 0); /* it died a moment ago: what it was sent since */
    bus->counters.undelivered++;
    if (bus->options.events.on_undelivered) bus->options.events.on_undelivered(bus->options.owner, &call.tunnel, PG_BUS_GONE);
}

/* Where it cannot be asked, it counts as alive: nothing must wait for an answer that does not come. */
static void ask_alive(struct pg_bus *bus, struct checked *slot, size_t index) {
    struct pg_call *call = pg_bus_call(bus, &slot->process, index);
    struct pg_key key = pg_key_alive(&slot->process);
    struct pg_words words = {.count = 0};
    slot->when_ms = uv_now(bus->options.loop);
    pg_words_add(&words, "EXISTS");
    pg_words_add_key(&words, &key);
    if (call && pg_words_run(bus->commands, on_alive_known, call, &words)) return;
    free(call);
    slot->known = PG_KNOWN_ALIVE;
}

/* What is known of the process, asking when that is nothing, or old. Whatever is pushed to a process that does not exist would lie
 * there until it expires, and a client can name any. NULL: the slot is somebody else's who waits; nothing is known. */
static struct checked *look_up(struct pg_bus *bus, const struct pg_id *process) {
    size_t index = process->bytes[0] % PG_CHECKED_SLOTS;
    struct checked *slot = &bus->checked[index];
    if (!pg_id_equal(&slot->process, process)) {
        if (slot->held) return NULL;
        *slot = (struct checked){.process = *process, .known = PG_KNOWN_ASKED};
        ask_alive(bus, slot, index);
    } else if (slot->known == PG_KNOWN_DEAD) {
        slot->known = PG_KNOWN_ASKED; /* it may have lost Redis and found it again: what is sent waits for the answer */
        ask_alive(bus, slot, index);
    } else if (slot->known == PG_KNOWN_ALIVE && uv_now(bus->options.loop) - slot->when_ms >= CHECK_MS) {
        ask_alive(bus, slot, index);
    }
    return slot;
}

static void on_batch_answered(redisAsyncContext *context, void *answer, void *argument) {
    struct pg_batch *batch = argument;
    struct pg_bus *bus = batch->owner;
    const redisReply *reply = answer;
    (void)context;
    bus->unanswered -= batch->bytes;
    pg_bus_log_error(bus, batch->kind == PG_BATCH_SEND ? "sending" : "pushing requests", reply);
    if (batch->kind != PG_BATCH_SEND) on_opened(bus, batch, reply);
    else on_sent(bus, batch, reply);
    pg_batch_free(batch);
}

/* Runs the command that ends with the batch's messages. */
static void run_batch(struct pg_bus *bus, struct pg_batch *batch, struct pg_words *words) {
    for (size_t i = 0; i < batch->count; i++) pg_words_add_bytes(words, batch->messages[i], batch->lengths[i]);
    bus->counters.messages_sent += batch->count;
    bus->counters.bytes_sent += batch->bytes;
    batch->owner = bus;
    bus->unanswered += batch->bytes;
    if (pg_words_run(bus->commands, on_batch_answered, batch, words)) pg_batch_free_messages(batch);
    else on_batch_answered(NULL, NULL, batch);
}

static void push_opens(struct pg_bus *bus, struct pg_batch *batch) {
    struct pg_words words;
    char max[24], ms[24];
    uint8_t bell[PG_CONTROL];
    struct pg_key requests = pg_key_requests(&batch->to);
    struct pg_key route = pg_key_route(&batch->to);
    pg_words_begin_script(&words, bus, PG_SCRIPT_OPEN, "2");
    pg_words_add_key(&words, &requests);
    pg_words_add_key(&words, &route);
    pg_words_add(&words, pg_decimal(max, bus->options.waiting_max));
    pg_words_add(&words, pg_decimal(ms, bus->options.waiting_ms));
    pg_control_put(bell, &(struct pg_control){.kind = PG_BELL, .tunnel = batch->to});
    pg_words_add_bytes(&words, (const char *)bell, sizeof bell);
    pg_words_add(&words, batch->kind == PG_BATCH_AGAIN ? "1" : "0");
    run_batch(bus, batch, &words);
}

/* Plain commands, no script: Redis' Lua hashes every byte of every argument, two seconds of CPU for a gigabyte. */
static void push_messages(struct pg_bus *bus, struct pg_batch *batch) {
    struct pg_words push = {.count = 0}, expire = {.count = 0};
    struct checked *slot = look_up(bus, &batch->to);
    struct pg_key inbox = pg_key_inbox(&batch->to);
    char ms[24];
    if (slot && slot->known == PG_KNOWN_ASKED) {
        bus->unanswered += batch->bytes;
        DL_APPEND2(slot->held, batch, previous, next);
        return;
    }
    pg_words_add(&push, "RPUSH");
    pg_words_add_key(&push, &inbox);
    run_batch(bus, batch, &push); /* the batch may be gone now */
    pg_words_add(&expire, "PEXPIRE");
    pg_words_add_key(&expire, &inbox);
    pg_words_add(&expire, pg_decimal(ms, PG_INBOX_MS));
    pg_words_run(bus->commands, NULL, NULL, &expire);
}

static void push_batch(struct pg_bus *bus, struct pg_batch *batch) {
    if (batch->kind == PG_BATCH_SEND) push_messages(bus, batch);
    else push_opens(bus, batch);
}

/* Makes commands of all that is gathered. */
void pg_bus_push_all(struct pg_bus *bus) {
    struct pg_batch *batch;
    while ((batch = pg_outbox_take(&bus->outbox))) push_batch(bus, batch);
}

static bool may_send(const struct pg_bus *bus) {
    return pg_bus_is_up(bus) && bus->outbox.bytes + bus->unanswered < PG_BUS_PENDING_MAX;
}

/* What goes behind an envelope: a frame in two pieces (the second may be NULL). */
struct frame_pieces {
    const uint8_t *head, *body;
    size_t head_length, body_length;
};

/* `exchange`: of an OPEN; else NULL. */
static bool gather(struct pg_bus *bus, enum pg_batch_kind kind, const struct pg_id *to, const struct pg_id *exchange,
                   const struct pg_envelope *envelope, const struct frame_pieces *frame) {
    uint8_t encoded[PG_ENVELOPE];
    if (!may_send(bus)) return false;
    pg_envelope_put(encoded, envelope);
    const uint8_t *const pieces[3] = {encoded, frame->head, frame->body};
    const size_t lengths[3] = {sizeof encoded, frame->head_length, frame->body_length};
    return pg_outbox_add(&bus->outbox, kind, to, exchange, pieces, lengths);
}

bool pg_bus_open(struct pg_bus *bus, const struct pg_id *tunnel, const struct pg_id *exchange, bool again, const uint8_t *frame,
                 size_t length) {
    const struct pg_envelope envelope = {.tunnel = *tunnel};
    const struct frame_pieces pieces = {.head = frame, .head_length = length};
    return gather(bus, again ? PG_BATCH_AGAIN : PG_BATCH_OPEN, tunnel, exchange, &envelope, &pieces);
}

bool pg_bus_open_straight(struct pg_bus *bus, const struct pg_envelope *way, const struct pg_id *exchange, const uint8_t *frame,
                          size_t length) {
    const struct frame_pieces pieces = {.head = frame, .head_length = length};
    return gather(bus, PG_BATCH_SEND, &way->broker, exchange, way, &pieces);
}

bool pg_bus_withdraw(struct pg_bus *bus, const struct pg_envelope *from, const uint8_t *frame, size_t length) {
    struct pg_key key = pg_id_is_zero(&from->broker) ? pg_key_requests(&from->tunnel) : pg_key_inbox(&from->broker);
    struct pg_words words = {.count = 0};
    char *message = pg_bus_is_up(bus) ? malloc(PG_ENVELOPE + length) : NULL;
    if (!message) return false;
    pg_bus_push_all(bus); /* it may be gathered still */
    pg_envelope_put((uint8_t *)message, from);
    memcpy(message + PG_ENVELOPE, frame, length);
    pg_words_add(&words, "LREM");
    pg_words_add_key(&words, &key);
    pg_words_add(&words, "0"); /* all of them */
    pg_words_add_bytes(&words, message, PG_ENVELOPE + length);
    bool sent = pg_words_run(bus->commands, NULL, NULL, &words);
    free(message);
    return sent;
}

bool pg_bus_send(struct pg_bus *bus, const struct pg_id *to, const struct pg_envelope *envelope, const uint8_t *head,
                 size_t head_length, const uint8_t *body, size_t body_length) {
    const struct frame_pieces pieces = {.head = head, .head_length = head_length, .body = body, .body_length = body_length};
    return gather(bus, PG_BATCH_SEND, to, NULL, envelope, &pieces);
}

bool pg_bus_send_control(struct pg_bus *bus, const struct pg_id *to, const struct pg_control *control) {
    uint8_t encoded[PG_CONTROL];
    if (!may_send(bus)) return false;
    pg_control_put(encoded, control);
    const uint8_t *const pieces[3] = {encoded, NULL, NULL};
    const size_t lengths[3] = {sizeof encoded, 0, 0};
    return pg_outbox_add(&bus->outbox, PG_BATCH_SEND, to, NULL, pieces, lengths);
}

void pg_bus_drop_held(struct pg_bus *bus) {
    for (size_t i = 0; i < PG_CHECKED_SLOTS; i++) {
        struct pg_batch *batch;
        while ((batch = bus->checked[i].held)) {
            DL_DELETE2(bus->checked[i].held, batch, previous, next);
            pg_batch_free(batch);
        }
    }
}
