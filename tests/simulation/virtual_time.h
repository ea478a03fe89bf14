/* libuv's timers and the clock, as the two ends call them, in a time that moves only when it is told to. Defines uv_now,
 * uv_timer_*, uv_prepare_*, uv_close, uv_is_active and pg_clock_*: libuv and lib/clock.c are not linked. */
#ifndef SIMULATION_VIRTUAL_TIME_H
#define SIMULATION_VIRTUAL_TIME_H

#include <stdint.h>
#include <uv.h>

enum { VIRTUAL_HANDLES = 64 };

struct virtual_loop {
    uv_timer_t *timers[VIRTUAL_HANDLES]; /* the active ones */
    size_t timers_count;
    uv_handle_t *closing[VIRTUAL_HANDLES];
    size_t closing_count;
    uv_prepare_t *prepare;
    void *world;
};

/* Makes `loop` one of this time: its `data` is ours. */
void virtual_loop_init(struct virtual_loop *virtual, uv_loop_t *loop, void *world);

/* One turn: timers that are due, the prepare handle, then closed handles. */
void virtual_loop_turn(struct virtual_loop *virtual);

/* When the next timer is due; UINT64_MAX: none is. */
uint64_t virtual_loop_next(const struct virtual_loop *virtual);

uint64_t virtual_now(void);
void virtual_set(uint64_t now_ms);

#endif
