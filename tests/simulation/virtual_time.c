#include "virtual_time.h"

#include "clock.h"

#include <stdlib.h>

/* Of a process that runs one simulation at a time: some of the functions below have no argument to find it by. */
static uint64_t now;

uint64_t virtual_now(void) {
    return now;
}

void virtual_set(uint64_t now_ms) {
    now = now_ms;
}

uint64_t pg_clock_ms(void) {
    return now;
}

uint64_t pg_clock_us(void) {
    return now * 1000;
}

uint64_t pg_clock_unix_ms(void) {
    return now + 1700000000000;
}

uint64_t uv_now(const uv_loop_t *loop) {
    (void)loop;
    return now;
}

static struct virtual_loop *loop_of(const uv_handle_t *handle) {
    return handle->loop->data;
}

static size_t find_timer(const struct virtual_loop *virtual, const uv_handle_t *handle) {
    size_t i = 0;
    while (i < virtual->timers_count && (const uv_handle_t *)virtual->timers[i] != handle) i++;
    return i;
}

int uv_timer_init(uv_loop_t *loop, uv_timer_t *timer) {
    timer->loop = loop;
    timer->type = UV_TIMER;
    return 0;
}

int uv_timer_start(uv_timer_t *timer, uv_timer_cb callback, uint64_t timeout, uint64_t repeat) {
    struct virtual_loop *virtual = loop_of((uv_handle_t *)timer);
    size_t i = find_timer(virtual, (uv_handle_t *)timer);
    if (i == VIRTUAL_HANDLES || repeat) abort();
    timer->timer_cb = callback;
    timer->timeout = now + timeout;
    if (i == virtual->timers_count) virtual->timers[virtual->timers_count++] = timer;
    return 0;
}

int uv_timer_stop(uv_timer_t *timer) {
    struct virtual_loop *virtual = loop_of((uv_handle_t *)timer);
    size_t i = find_timer(virtual, (uv_handle_t *)timer);
    if (i < virtual->timers_count) virtual->timers[i] = virtual->timers[--virtual->timers_count];
    return 0;
}

int uv_prepare_init(uv_loop_t *loop, uv_prepare_t *prepare) {
    prepare->loop = loop;
    prepare->type = UV_PREPARE;
    return 0;
}

int uv_prepare_start(uv_prepare_t *prepare, uv_prepare_cb callback) {
    prepare->prepare_cb = callback;
    loop_of((uv_handle_t *)prepare)->prepare = prepare;
    return 0;
}

int uv_is_active(const uv_handle_t *handle) {
    const struct virtual_loop *virtual = loop_of(handle);
    return find_timer(virtual, handle) < virtual->timers_count;
}

void uv_close(uv_handle_t *handle, uv_close_cb callback) {
    struct virtual_loop *virtual = loop_of(handle);
    if (handle->type == UV_TIMER) uv_timer_stop((uv_timer_t *)handle);
    if ((uv_handle_t *)virtual->prepare == handle) virtual->prepare = NULL;
    if (virtual->closing_count == VIRTUAL_HANDLES) abort();
    handle->close_cb = callback;
    virtual->closing[virtual->closing_count++] = handle;
}

void virtual_loop_init(struct virtual_loop *virtual, uv_loop_t *loop, void *world) {
    *virtual = (struct virtual_loop){.world = world};
    loop->data = virtual;
}

static uv_timer_t *first_timer(const struct virtual_loop *virtual) {
    uv_timer_t *first = NULL;
    for (size_t i = 0; i < virtual->timers_count; i++)
        if (!first || virtual->timers[i]->timeout < first->timeout) first = virtual->timers[i];
    return first;
}

uint64_t virtual_loop_next(const struct virtual_loop *virtual) {
    const uv_timer_t *first = first_timer(virtual);
    return first ? first->timeout : UINT64_MAX;
}

void virtual_loop_turn(struct virtual_loop *virtual) {
    /* One that is started anew for at once is for the next turn, as libuv has it. */
    for (size_t left = virtual->timers_count; left > 0; left--) {
        uv_timer_t *first = first_timer(virtual);
        if (!first || first->timeout > now) break;
        uv_timer_stop(first);
        first->timer_cb(first);
    }
    if (virtual->prepare) virtual->prepare->prepare_cb(virtual->prepare);
    while (virtual->closing_count) {
        uv_handle_t *handle = virtual->closing[--virtual->closing_count];
        if (handle->close_cb) handle->close_cb(handle);
    }
}
