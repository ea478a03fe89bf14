#include "heap.h"

#include <malloc.h>

void pg_heap_keep(void) {
    mallopt(M_TRIM_THRESHOLD, PG_HEAP_KEPT);
    mallopt(M_TOP_PAD, PG_HEAP_KEPT / 2);
    mallopt(M_MMAP_THRESHOLD, PG_HEAP_KEPT);
}

void pg_heap_one_arena(void) {
    mallopt(M_ARENA_MAX, 1);
}

static void on_look(uv_timer_t *timer) {
    struct pg_heap_tide *tide = timer->data;
    size_t now = tide->count(tide->owner);
    if (now > tide->high) tide->high = now;
    if (now > tide->high / 4) return;
    malloc_trim(0);
    tide->high = now;
    if (now < PG_HEAP_CALM) uv_timer_stop(timer);
}

void pg_heap_tide_init(struct pg_heap_tide *tide, uv_loop_t *loop, size_t (*count)(const void *owner), const void *owner) {
    *tide = (struct pg_heap_tide){.count = count, .owner = owner};
    uv_timer_init(loop, &tide->timer);
    tide->timer.data = tide;
}

void pg_heap_tide_watch(struct pg_heap_tide *tide) {
    size_t now = tide->count(tide->owner);
    if (now > tide->high) tide->high = now;
    if (tide->high >= PG_HEAP_BURST && !uv_is_active((uv_handle_t *)&tide->timer))
        uv_timer_start(&tide->timer, on_look, PG_HEAP_TIDE_MS, PG_HEAP_TIDE_MS);
}

void pg_heap_tide_close(struct pg_heap_tide *tide) {
    uv_close((uv_handle_t *)&tide->timer, NULL);
}
