#include "watchdog.h"

#include "service.h"

static void on_beat(uv_timer_t *timer) {
    (void)timer;
    pg_service_notify("WATCHDOG=1");
}

void pg_watchdog_start(struct pg_watchdog *watchdog, uv_loop_t *loop) {
    uint64_t interval_ms = pg_service_watchdog_ms();
    uv_timer_init(loop, &watchdog->timer);
    if (interval_ms) uv_timer_start(&watchdog->timer, on_beat, 0, interval_ms / 2);
    uv_unref((uv_handle_t *)&watchdog->timer);
}

void pg_watchdog_close(struct pg_watchdog *watchdog) {
    uv_close((uv_handle_t *)&watchdog->timer, NULL);
}
