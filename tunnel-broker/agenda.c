#include "agenda.h"

#include <utlist.h>

static void on_timer(uv_timer_t *timer);

/* A wake-up per entry would be many with ten thousand of them: the timer fires when the first has waited 1/64 more. */
static uint64_t wake_ms(const struct agenda_queue *queue) {
    return queue->entries->due_ms + queue->delay_ms / 64;
}

static void arm(struct agenda *agenda) {
    uint64_t first = UINT64_MAX;
    for (struct agenda_queue *queue = agenda->queues; queue; queue = queue->next)
        if (queue->entries && wake_ms(queue) < first) first = wake_ms(queue);
    if (first >= agenda->armed_ms) return;
    uint64_t now = uv_now(agenda->timer.loop);
    agenda->armed_ms = first;
    uv_timer_start(&agenda->timer, on_timer, first > now ? first - now : 0, 0);
}

static void on_timer(uv_timer_t *timer) {
    struct agenda *agenda = timer->data;
    uint64_t now = uv_now(timer->loop);
    agenda->armed_ms = UINT64_MAX;
    for (struct agenda_queue *queue = agenda->queues; queue; queue = queue->next) {
        while (queue->entries && queue->entries->due_ms <= now) {
            struct agenda_entry *entry = queue->entries;
            agenda_remove(entry);
            queue->on_due(queue->owner, entry);
        }
    }
    arm(agenda);
    if (agenda->on_turn) agenda->on_turn(agenda->owner);
}

void agenda_init(struct agenda *agenda, uv_loop_t *loop, void (*on_turn)(void *owner), void *owner) {
    uv_timer_init(loop, &agenda->timer);
    agenda->timer.data = agenda;
    agenda->queues = NULL;
    agenda->armed_ms = UINT64_MAX;
    agenda->on_turn = on_turn;
    agenda->owner = owner;
}

void agenda_add_queue(struct agenda *agenda, struct agenda_queue *queue) {
    LL_PREPEND(agenda->queues, queue);
}

void agenda_put(struct agenda *agenda, struct agenda_queue *queue, struct agenda_entry *entry) {
    agenda_remove(entry);
    entry->queue = queue;
    entry->due_ms = uv_now(agenda->timer.loop) + queue->delay_ms;
    DL_APPEND(queue->entries, entry);
    if (queue->entries == entry) arm(agenda);
}

void agenda_remove(struct agenda_entry *entry) {
    if (!entry->queue) return;
    DL_DELETE(entry->queue->entries, entry);
    entry->queue = NULL;
}

void agenda_close(struct agenda *agenda) {
    uv_close((uv_handle_t *)&agenda->timer, NULL);
}
