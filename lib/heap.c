#include "heap.h"

#include "resident.h"

#include <malloc.h>
#include <sys/prctl.h>

void pg_heap_keep(void) {
    mallopt(M_TRIM_THRESHOLD, PG_HEAP_KEPT);
    mallopt(M_TOP_PAD, PG_HEAP_KEPT / 2);
    mallopt(M_MMAP_THRESHOLD, PG_HEAP_KEPT);
}

void pg_heap_small_pages(void) {
    prctl(PR_SET_THP_DISABLE, 1L, 0L, 0L, 0L); /* best effort: Linux 3.15 */
}

void pg_heap_one_arena(void) {
    mallopt(M_ARENA_MAX, 1);
}

/* Bytes that are resident and of no use; 0 where there are not even PG_HEAP_SPARE_MAX in all. */
static uint64_t count_spare(struct pg_heap_spare *spare) {
    uint64_t all, files;
    spare->patience = 0;
    if (!pg_resident_read(&all, &files) || all < files + PG_HEAP_SPARE_MAX) return 0;
    struct mallinfo2 heap = mallinfo2();
    uint64_t used = files + heap.uordblks + heap.hblkhd;
    size_t turns = heap.ordblks / PG_HEAP_QUICK;
    spare->patience = turns < PG_HEAP_PATIENCE ? (unsigned)turns : PG_HEAP_PATIENCE;
    return all > used ? all - used : 0;
}

void pg_heap_give_back(struct pg_heap_spare *spare) {
    if (spare->patience > 0) {
        spare->patience--;
        return;
    }
    uint64_t now = count_spare(spare);
    if (now > PG_HEAP_SPARE_MAX && now > spare->left + PG_HEAP_SPARE_MORE) {
        malloc_trim(0);
        spare->left = now = count_spare(spare);
    }
    if (now < spare->left) spare->left = now;
}
