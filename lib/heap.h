/* How much memory a process keeps from one frame to the next, and from one burst to the next. */
#ifndef PG_HEAP_H
#define PG_HEAP_H

#include <stddef.h>
#include <uv.h>

enum {
    PG_HEAP_KEPT = 4 * 1024 * 1024, /* bytes: what a few wide streams have under way */
    PG_HEAP_BURST = 64,             /* fewer requests at once leave nothing behind that is worth the looking */
    PG_HEAP_CALM = 8,               /* fewer than these, and the burst is over */
    PG_HEAP_TIDE_MS = 1000          /* how often it is looked, while there is a burst */
};

/* Has malloc keep up to PG_HEAP_KEPT bytes that are free. Frames of 64 KiB come and go through the buffers of several libraries: with
 * glibc's defaults each makes the heap grow and shrink (brk(2) twice, page faults), which was a third of the CPU time of a download. */
void pg_heap_keep(void);

/* All threads share one heap: those that allocate little would get one each. To be called before any other. */
void pg_heap_one_arena(void);

/* Gives memory back after a burst. What hundreds of requests had in hand is free when they are over, but in the middle of the heap,
 * where malloc alone keeps it for ever: tens of KB for each that waited through an outage. */
struct pg_heap_tide {
    uv_timer_t timer; /* runs only during a burst */
    size_t (*count)(const void *owner);
    const void *owner;
    size_t high; /* the most since the heap was last given back */
};

/* `count` says how many requests there are now. */
void pg_heap_tide_init(struct pg_heap_tide *tide, uv_loop_t *loop, size_t (*count)(const void *owner), const void *owner);

/* To be called where there may be more than before: cheap. Once there are no more than a quarter of the most, memory is given back
 * (malloc_trim(3)), at most every PG_HEAP_TIDE_MS. */
void pg_heap_tide_watch(struct pg_heap_tide *tide);

/* Closes the timer; the struct must live until the loop has run. */
void pg_heap_tide_close(struct pg_heap_tide *tide);

#endif
