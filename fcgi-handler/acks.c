#include "acks.h"

#include <stdlib.h>

static bool send_frame(struct acks *acks, const struct pg_envelope *path, const uint8_t *entries, size_t count) {
    uint8_t header[PG_FRAME_HEADER];
    pg_frame_put(header, &(struct pg_frame){.type = PG_ACK, .handler = acks->handler, .length = count * PG_ACK_ENTRY});
    return pg_bus_send(acks->bus, &path->broker, path, header, sizeof header, entries, count * PG_ACK_ENTRY);
}

/* An ACK that cannot be sent is no loss: the client forgets the exchange after its retention limit. */
static void flush_batch(struct acks *acks, struct acks_batch *batch) {
    if (batch->count) send_frame(acks, &batch->path, batch->entries, batch->count);
    batch->count = 0;
    batch->path.broker = (struct pg_id){{0}};
}

static void on_timer(uv_timer_t *timer) {
    acks_flush(timer->data);
}

void acks_init(struct acks *acks, uv_loop_t *loop, struct pg_bus *bus, const struct pg_id *handler) {
    *acks = (struct acks){.bus = bus, .handler = *handler};
    uv_timer_init(loop, &acks->timer);
    acks->timer.data = acks;
}

static bool same_path(const struct pg_envelope *a, const struct pg_envelope *b) {
    return a->session == b->session && pg_id_equal(&a->broker, &b->broker) && pg_id_equal(&a->tunnel, &b->tunnel);
}

/* The session's slot; whoever had it before is sent off. */
static struct acks_batch *find_batch(struct acks *acks, const struct pg_envelope *path) {
    struct acks_batch **slot = &acks->batches[(path->session ^ path->session >> 32) % ACKS_SESSIONS];
    if (!*slot) *slot = calloc(1, sizeof **slot);
    if (!*slot) return NULL;
    if (!same_path(&(*slot)->path, path)) {
        flush_batch(acks, *slot);
        (*slot)->path = *path;
    }
    return *slot;
}

void acks_add(struct acks *acks, const struct pg_envelope *path, const struct pg_ack *ack) {
    struct acks_batch *batch = find_batch(acks, path);
    if (!batch) return;
    pg_ack_put(batch->entries + batch->count++ * PG_ACK_ENTRY, ack);
    if (batch->count == ACKS_ENTRIES) flush_batch(acks, batch);
    else if (!uv_is_active((uv_handle_t *)&acks->timer)) uv_timer_start(&acks->timer, on_timer, ACKS_DELAY_MS, 0);
}

bool acks_send_now(struct acks *acks, const struct pg_envelope *path, const struct pg_ack *ack) {
    uint8_t entry[PG_ACK_ENTRY];
    pg_ack_put(entry, ack);
    return send_frame(acks, path, entry, 1);
}

void acks_flush(struct acks *acks) {
    for (size_t i = 0; i < ACKS_SESSIONS; i++)
        if (acks->batches[i]) flush_batch(acks, acks->batches[i]);
}

void acks_close(struct acks *acks) {
    acks_flush(acks);
    for (size_t i = 0; i < ACKS_SESSIONS; i++) free(acks->batches[i]);
    uv_close((uv_handle_t *)&acks->timer, NULL);
}
