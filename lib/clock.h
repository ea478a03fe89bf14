/* The clocks, in milliseconds. */
#ifndef PG_CLOCK_H
#define PG_CLOCK_H

#include <stdint.h>

/* Never goes back, and goes on while the machine sleeps (CLOCK_BOOTTIME): deadlines and latencies. */
uint64_t pg_clock_ms(void);

/* The same clock in microseconds. */
uint64_t pg_clock_us(void);

/* Unix time: only for what leaves the process (logs, tokens, the deadline in an OPEN). */
uint64_t pg_clock_unix_ms(void);

#endif
