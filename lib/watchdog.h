/* systemd's watchdog (WatchdogSec=, sd_watchdog_enabled(3)): it is told again and again that the loop runs. */
#ifndef PG_WATCHDOG_H
#define PG_WATCHDOG_H

#include <uv.h>

struct pg_watchdog {
    uv_timer_t timer;
};

/* Tells systemd twice in each interval that it asks for with WATCHDOG_USEC; does nothing where it asks for none. Never keeps the
 * loop from ending. */
void pg_watchdog_start(struct pg_watchdog *watchdog, uv_loop_t *loop);

/* Once, after pg_watchdog_start; the loop must run once more. */
void pg_watchdog_close(struct pg_watchdog *watchdog);

#endif
