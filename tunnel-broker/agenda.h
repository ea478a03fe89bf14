/* What is due later. Entries wait in queues, and all of one queue wait equally long, so that putting one in and taking
 * it out cost the same whether there are ten or ten thousand; one timer of the loop serves all queues. */
#ifndef BROKER_AGENDA_H
#define BROKER_AGENDA_H

#include <stddef.h>
#include <uv.h>

/* The struct of `type` whose `member` is at `pointer`. */
#define AGENDA_OWNER(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

struct agenda_queue;

/* Embedded in whatever waits; it is in one queue at most. Zero-initialise. */
struct agenda_entry {
    struct agenda_entry *prev, *next;
    struct agenda_queue *queue; /* NULL: in none */
    uint64_t due_ms;            /* uv_now time */
};

struct agenda_queue {
    uint64_t delay_ms;
    /* The entry is out of the queue by then, and may be put into any queue or freed. */
    void (*on_due)(void *owner, struct agenda_entry *entry);
    void *owner;
    /* The agenda's own. */
    struct agenda_entry *entries;
    struct agenda_queue *next;
};

struct agenda {
    uv_timer_t timer;
    struct agenda_queue *queues;
    uint64_t armed_ms;            /* when the timer fires; UINT64_MAX = it does not */
    void (*on_turn)(void *owner); /* after all that was due; may be NULL */
    void *owner;
};

void agenda_init(struct agenda *agenda, uv_loop_t *loop, void (*on_turn)(void *owner), void *owner);

/* The queue lives as long as the agenda. */
void agenda_add_queue(struct agenda *agenda, struct agenda_queue *queue);

/* Puts the entry into the queue, out of any other, to be due after the queue's delay. What is due within a little (1/64
 * of the delay) may be handled at one wake-up. */
void agenda_put(struct agenda *agenda, struct agenda_queue *queue, struct agenda_entry *entry);

/* Takes the entry out of its queue, if it is in one. */
void agenda_remove(struct agenda_entry *entry);

/* Closes the timer; nothing is due any more. The loop must run once more. */
void agenda_close(struct agenda *agenda);

#endif
