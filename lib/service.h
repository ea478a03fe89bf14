/* The phases of a server's life, and what systemd expects of a service (sd_notify(3), sd_listen_fds(3)). That is written out here after
 * the "standalone implementation" those pages recommend: it is a few lines, and libsystemd would be the largest library in pg-client. */
#ifndef PG_SERVICE_H
#define PG_SERVICE_H

#include <signal.h>
#include <stdint.h>

/* The life of a server, in this order; each may be the last. */
enum pg_phase {
    PG_STARTING, /* takes nobody before Redis has let it in */
    PG_SERVING,
    PG_LEAVING,  /* told to end: /-/readyz says so */
    PG_DRAINING, /* takes nothing new */
    PG_ENDING    /* waits for nobody */
};

/* Sends `state`, e.g. "READY=1" or "STOPPING=1", to $NOTIFY_SOCKET; does nothing where there is none. */
void pg_service_notify(const char *state);

/* Number of sockets systemd passed to this very process, the first of which is descriptor 3; 0 when it passed none.
 * Clears the variables, so that children do not believe they got them. Sets close-on-exec. */
int pg_service_sockets(void);

/* How often systemd wants to hear WATCHDOG=1 from this very process, in ms (at least 2); 0: not at all. sd_watchdog_enabled(3). */
uint64_t pg_service_watchdog_ms(void);

/* Holds SIGTERM and SIGINT back (sigpending(2) tells of them); writes the mask before to `before`, which may be NULL. */
void pg_service_hold_signals(sigset_t *before);

enum { PG_SERVICE_FIRST_SOCKET = 3 };

#endif
