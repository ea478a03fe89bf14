#include "outgoing.h"

#include <string.h>

void outgoing_init(struct outgoing *outgoing, const struct pg_id *instance) {
    *outgoing = (struct outgoing){.instance = *instance};
    list_init(&outgoing->sending);
    list_init(&outgoing->owing);
}

void outgoing_send(struct outgoing *outgoing, struct exchange *exchange) {
    list_append(&outgoing->sending, &exchange->sending);
}

void outgoing_owe(struct outgoing *outgoing, struct exchange *exchange) {
    list_append(&outgoing->owing, &exchange->owing);
}

static void add_loose(struct outgoing *outgoing, struct outgoing_loose loose) {
    if (outgoing->loose_count == OUTGOING_LOOSE_MAX) return;
    outgoing->loose[(outgoing->loose_first + outgoing->loose_count++) % OUTGOING_LOOSE_MAX] = loose;
}

void outgoing_reset(struct outgoing *outgoing, const struct pg_frame *about, enum pg_reason reason, const char *sentence) {
    add_loose(outgoing, (struct outgoing_loose){
                            .exchange = about->exchange, .handler = about->handler, .reset = reason, .sentence = sentence});
}

void outgoing_unknown(struct outgoing *outgoing, const struct pg_frame *about) {
    add_loose(outgoing, (struct outgoing_loose){.exchange = about->exchange, .handler = about->handler});
}

/* The entries for the handler that waits longest, in one frame. Looks at no more exchanges than fit into a frame.
 * False: no room. */
static bool put_acks(struct outgoing *outgoing) {
    struct exchange *found[PG_ACK_MAX];
    size_t count = 0, looked_at = 0;
    const struct pg_id *handler = &list_owner(outgoing->owing.next, struct exchange, owing)->handler;
    for (struct list *at = outgoing->owing.next; at != &outgoing->owing && looked_at < PG_ACK_MAX; at = at->next) {
        struct exchange *exchange = list_owner(at, struct exchange, owing);
        if (pg_id_equal(&exchange->handler, handler)) found[count++] = exchange;
        looked_at++;
    }
    struct pg_frame frame = {.type = PG_ACK, .handler = *handler, .length = count * PG_ACK_ENTRY};
    uint8_t *to = link_begin(outgoing->link, PG_FRAME_HEADER + frame.length);
    if (!to) return false;
    pg_frame_put(to, &frame);
    to += PG_FRAME_HEADER;
    for (size_t i = 0; i < count; i++, to += PG_ACK_ENTRY) {
        struct pg_inflow *request = &found[i]->request;
        struct pg_ack ack = {.exchange = found[i]->id, .received = request->passed};
        pg_ack_put(to, &ack);
        request->told = request->passed;
        list_leave(&found[i]->owing);
    }
    link_commit(outgoing->link);
    return true;
}

static bool put_loose(struct outgoing *outgoing) {
    const struct outgoing_loose *loose = &outgoing->loose[outgoing->loose_first];
    struct pg_frame frame = {.type = PG_RESUME,
                             .flags = PG_ANSWER | PG_UNKNOWN,
                             .length = PG_ID_SIZE,
                             .exchange = loose->exchange,
                             .handler = loose->handler};
    uint8_t payload[2 + PG_REASON_MAX];
    memcpy(payload, outgoing->instance.bytes, PG_ID_SIZE);
    if (loose->reset) {
        frame.type = PG_RESET;
        frame.flags = 0;
        frame.length = pg_reset_put(payload, loose->reset, loose->sentence);
    }
    uint8_t *to = link_begin(outgoing->link, PG_FRAME_HEADER + frame.length);
    if (!to) return false;
    pg_frame_put(to, &frame);
    memcpy(to + PG_FRAME_HEADER, payload, frame.length);
    link_commit(outgoing->link);
    outgoing->loose_first = (outgoing->loose_first + 1) % OUTGOING_LOOSE_MAX;
    outgoing->loose_count--;
    return true;
}

/* One frame of the exchange whose turn it is. False: no room. */
static bool put_exchange(struct outgoing *outgoing, void (*on_sent)(struct exchange *exchange)) {
    struct exchange *exchange = list_owner(outgoing->sending.next, struct exchange, sending);
    size_t size = exchange_next(exchange);
    if (size == 0) {
        list_leave(&exchange->sending);
        return true;
    }
    uint8_t *to = link_begin(outgoing->link, size);
    if (!to) return false;
    exchange_put(exchange, &outgoing->instance, to);
    link_commit(outgoing->link);
    list_leave(&exchange->sending);
    if (exchange_is_sent(exchange)) on_sent(exchange);
    else outgoing_send(outgoing, exchange); /* behind the others */
    return true;
}

static bool put_all(struct outgoing *outgoing, void (*on_sent)(struct exchange *exchange)) {
    while (outgoing->loose_count) /* first: of what was not here before what is */
        if (!put_loose(outgoing)) return false;
    while (!list_empty(&outgoing->owing))
        if (!put_acks(outgoing)) return false;
    while (!list_empty(&outgoing->sending))
        if (!put_exchange(outgoing, on_sent)) return false;
    return true;
}

void outgoing_fill(struct outgoing *outgoing, void (*on_sent)(struct exchange *exchange)) {
    while (outgoing->link && link_is_open(outgoing->link)) {
        bool all = put_all(outgoing, on_sent);
        link_flush(outgoing->link);
        if (all || !link_is_flushed(outgoing->link)) return;
    }
}
