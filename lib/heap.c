#include "heap.h"

#include <malloc.h>

void pg_heap_keep(void) {
    mallopt(M_TRIM_THRESHOLD, PG_HEAP_KEPT);
    mallopt(M_TOP_PAD, PG_HEAP_KEPT / 2);
    mallopt(M_MMAP_THRESHOLD, PG_HEAP_KEPT);
}
