/* How much memory a process keeps from one frame to the next, and from one burst to the next. */
#ifndef PG_HEAP_H
#define PG_HEAP_H

#include <stdint.h>

enum {
    PG_HEAP_KEPT = 4 * 1024 * 1024,       /* bytes: what a few wide streams have under way */
    PG_HEAP_SPARE_MAX = 6 * 1024 * 1024,  /* bytes that are resident and free: more is given back */
    PG_HEAP_SPARE_MORE = 2 * 1024 * 1024, /* more bytes than could not be given back before: it is tried again */
    PG_HEAP_QUICK = 4096,                 /* pieces of free memory that are looked at in about a millisecond */
    PG_HEAP_PATIENCE = 4                  /* calls without a look, at most */
};

/* Has malloc keep up to PG_HEAP_KEPT bytes that are free. Frames of 64 KiB come and go through the buffers of several libraries: with
 * glibc's defaults each makes the heap grow and shrink (brk(2) twice, page faults), which was a third of the CPU time of a download. */
void pg_heap_keep(void);

/* No huge pages, whatever the system's default (transparent_hugepage=always): the kernel would fill up again what was given back. */
void pg_heap_small_pages(void);

/* All threads share one heap: those that allocate little would get one each. To be called before any other. */
void pg_heap_one_arena(void);

/* Zero-initialise. */
struct pg_heap_spare {
    uint64_t left;     /* bytes that were resident and free when last looked, and could not be given back */
    unsigned patience; /* calls before it is looked again: the longer a look takes */
};

/* Gives back what a burst left. What hundreds of requests had in hand is free when they are over, but in the middle of the heap, where
 * malloc alone keeps it for ever: tens of KB for each that waited through an outage. To be called with each heartbeat. Below
 * PG_HEAP_SPARE_MAX it costs a look at /proc/self/statm, above a walk over what is free (mallinfo2(3); milliseconds for tens of
 * thousands of pieces, and then not each time); giving back (malloc_trim(3)) takes some milliseconds for 50 MB. */
void pg_heap_give_back(struct pg_heap_spare *spare);

#endif
