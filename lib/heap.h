/* How much memory a server keeps from one frame to the next. */
#ifndef PG_HEAP_H
#define PG_HEAP_H

enum { PG_HEAP_KEPT = 4 * 1024 * 1024 }; /* what a few wide streams have under way */

/* Has malloc keep up to PG_HEAP_KEPT bytes that are free. Frames of 64 KiB come and go through the buffers of several libraries: with
 * glibc's defaults each makes the heap grow and shrink (brk(2) twice, page faults), which was a third of the CPU time of a download. */
void pg_heap_keep(void);

#endif
