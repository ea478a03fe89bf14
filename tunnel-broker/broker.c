#include "broker.h"

#include "admin.h"
#include "clock.h"
#include "footprint.h"
#include "options.h"
#include "service.h"
#include "session.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#include <utlist.h>

enum { SPARE_DESCRIPTORS = 256, END_LOOK_MS = 20, CLOSING_MAX_MS = 1000, BEGIN_MS = 1000 };

/* --- the end --- */

static void on_bus_closed(void *owner) {
    struct broker *broker = owner;
    uv_stop(&broker->loop);
}

static void end(struct broker *broker) {
    if (broker->phase == PG_ENDING) return;
    broker->phase = PG_ENDING;
    uv_timer_stop(&broker->deadline);
    struct pg_bus *bus = broker->bus;
    broker->bus = NULL;
    pg_bus_close(bus, on_bus_closed);
}

static void end_sessions(struct broker *broker) {
    struct tunnel *tunnel, *next_tunnel;
    struct session *session, *next;
    HASH_ITER(hh, broker->tunnels, tunnel, next_tunnel) {
        DL_FOREACH_SAFE(tunnel->sessions, session, next) {
            session_end(session, SESSION_DRAINED);
        }
    }
}

/* Ends from the loop, not from within whatever ended the last session, and not before the connections are closed in
 * good order: what a client has sent would make the kernel reset the connection, and our last words would be lost. */
static void on_time_to_end(uv_timer_t *timer) {
    struct broker *broker = timer->data;
    if (websocket_server_count(broker->server) == 0 || uv_now(&broker->loop) >= broker->end_by_ms) end(broker);
}

void broker_session_ended(struct broker *broker) {
    if (broker->phase < PG_DRAINING || broker->sessions > 0) return;
    broker->end_by_ms = uv_now(&broker->loop) + broker->closing_ms;
    uv_timer_start(&broker->deadline, on_time_to_end, 0, END_LOOK_MS);
}

static void on_time_to_close(uv_timer_t *timer) {
    end_sessions(timer->data);
}

/* Clients are told to attach elsewhere and served until they have. The rest of the time is for closing. */
static void drain(struct broker *broker) {
    struct tunnel *tunnel, *next_tunnel;
    struct session *session, *next;
    broker->phase = PG_DRAINING;
    pg_log(broker->log, PG_LOG_INFO, NULL, "draining: %zu clients are told to attach elsewhere", broker->sessions);
    listener_close(&broker->listeners[BROKER_CLIENTS]);
    HASH_ITER(hh, broker->tunnels, tunnel, next_tunnel) {
        DL_FOREACH_SAFE(tunnel->sessions, session, next) {
            if (session->announced) session_tell(session, PG_GOAWAY);
            else session_end(session, SESSION_DRAINED);
        }
    }
    websocket_server_flush(broker->server);
    broker->closing_ms = broker->config->drain_timeout_ms / 5;
    if (broker->closing_ms > CLOSING_MAX_MS) broker->closing_ms = CLOSING_MAX_MS;
    uv_timer_start(&broker->deadline, on_time_to_close, broker->config->drain_timeout_ms - 2 * broker->closing_ms, 0);
    broker_session_ended(broker);
}

static void on_delay_over(uv_timer_t *timer) {
    drain(timer->data);
}

static void on_signal(uv_signal_t *signal, int number) {
    struct broker *broker = signal->data;
    (void)number;
    if (broker->phase >= PG_LEAVING) _exit(EXIT_SUCCESS);
    broker->phase = PG_LEAVING;
    pg_service_notify("STOPPING=1");
    if (broker->config->drain_delay_ms) {
        pg_log(broker->log, PG_LOG_INFO, NULL, "not ready any more; clients are served for another %" PRIu64 " ms",
               broker->config->drain_delay_ms);
        uv_timer_start(&broker->deadline, on_delay_over, broker->config->drain_delay_ms, 0);
    } else {
        drain(broker);
    }
}

/* --- what the bus and the websockets tell --- */

static void on_refused_end(uv_timer_t *timer) {
    struct broker *broker = timer->data;
    listener_close(&broker->listeners[BROKER_CLIENTS]);
    end_sessions(broker);
    broker_session_ended(broker);
}

/* That will not mend itself; and whoever starts us looks at the beginning. */
static void on_refused(void *owner, const char *why) {
    struct broker *broker = owner;
    if (broker->phase == PG_ENDING) return;
    pg_log(broker->log, PG_LOG_ERROR, NULL, "--redis: %s", why);
    broker->exit_status = PG_EXIT_USAGE;
    broker->phase = PG_DRAINING;
    uv_timer_start(&broker->deadline, on_refused_end, 0, 0); /* not from within the bus */
}

static void on_heartbeat(void *owner) {
    struct broker *broker = owner;
    struct tunnel *tunnel, *next;
    pg_heap_give_back(&broker->spare);
    HASH_ITER(hh, broker->tunnels, tunnel, next) {
        tunnel_take(broker, tunnel); /* a bell may have rung while our lease was in doubt */
    }
}

static void announce(const struct broker *broker) {
    const struct config *config = broker->config;
    const struct listener *listeners = broker->listeners;
    pg_log(broker->log, PG_LOG_INFO, NULL, "clients attach at %s", listeners[BROKER_CLIENTS].name);
    if (listeners[BROKER_ADMIN].fd >= 0)
        pg_log(broker->log, PG_LOG_INFO, NULL, "health and metrics at %s", listeners[BROKER_ADMIN].name);
    if (broker->max_clients < config->max_clients)
        pg_log(broker->log, PG_LOG_INFO, NULL,
               "room for %" PRIu64 " clients: for more, raise the limit of open files (LimitNOFILE)", broker->max_clients);
    if (config->open) pg_log(broker->log, PG_LOG_WARN, NULL, "--open: anyone who reaches this broker may attach any tunnel");
}

static void begin(struct broker *broker) {
    if (broker->phase != PG_STARTING) return;
    broker->phase = PG_SERVING;
    uv_timer_stop(&broker->deadline);
    listener_resume(&broker->listeners[BROKER_CLIENTS]);
    announce(broker);
    pg_service_notify("READY=1");
}

static void on_begin(uv_timer_t *timer) {
    begin(timer->data);
}

static void on_state(void *owner, bool up) {
    struct broker *broker = owner;
    if (up) begin(broker);
    if (!up) {
        pg_log(broker->log, PG_LOG_WARN, NULL, "Redis is away: %zu clients stay connected and wait", broker->sessions);
        return;
    }
    pg_log(broker->log, PG_LOG_INFO, NULL, "Redis is there: attaching %zu tunnels", broker->sessions);
    attach_all_again(broker);
}

static void on_garbage(void *owner, const char *what) {
    struct broker *broker = owner;
    broker->counters.dropped[DROP_MALFORMED]++;
    pg_log(broker->log, PG_LOG_WARN, NULL, "dropped garbage from Redis: %s", what);
}

/* No log line: a client can bring this about at will, by naming a handler that does not exist. */
static void on_undelivered(void *owner, const struct pg_id *to, enum pg_bus_result why) {
    struct broker *broker = owner;
    (void)to;
    (void)why;
    broker->counters.dropped[DROP_UNDELIVERED]++;
}

static enum attach_outcome outcome_of(enum gate_status status) {
    if (status == GATE_UNAUTHORIZED) return ATTACH_UNAUTHORIZED;
    return status == GATE_UNAVAILABLE ? ATTACH_FULL : ATTACH_BAD_REQUEST;
}

static struct gate_verdict on_judge(void *owner, const struct gate_request *request, const char *peer) {
    struct broker *broker = owner;
    const struct pg_secret *secret = broker->config->open ? NULL : &broker->config->secret;
    struct gate_verdict verdict = gate_judge(secret, request, pg_clock_unix_ms() / 1000);
    if (verdict.status == GATE_OPEN && (broker->phase >= PG_DRAINING || broker->sessions >= broker->max_clients)) {
        verdict.status = GATE_UNAVAILABLE;
        verdict.sentence =
            broker->phase >= PG_DRAINING ? "this broker ends: attach again" : "this broker has all the clients it may have";
    }
    if (verdict.status != GATE_OPEN) {
        const struct pg_log_about about = {.tunnel = verdict.has_tunnel ? &verdict.tunnel : NULL, .peer = peer};
        broker->counters.attaches[outcome_of(verdict.status)]++;
        pg_log(broker->log, PG_LOG_WARN, &about, "refused a client: %s", verdict.sentence);
    }
    return verdict;
}

static void *on_open(void *owner, struct websocket *socket, const struct gate_verdict *verdict, const char *peer) {
    struct broker *broker = owner;
    struct session *session = session_new(broker, socket, verdict, peer);
    if (!broker->settled) pg_footprint_release(); /* now, since the first token has brought in the most of libcrypto */
    broker->settled = true;
    return session;
}

static void on_accept(void *owner, struct listener *listener, int fd) {
    struct broker *broker = owner;
    bool admin = listener == &broker->listeners[BROKER_ADMIN];
    websocket_adopt(broker->server, fd, admin ? WEBSOCKET_ADMIN : WEBSOCKET_CLIENT);
}

/* After timers: what they said to clients must not wait for the next input. */
static void on_agenda_turn(void *owner) {
    struct broker *broker = owner;
    if (broker->server) websocket_server_flush(broker->server);
}

/* --- the start --- */

/* libwebsockets makes tables as long as the limit, and clears them: a limit of a million would be 16 MB. */
static void limit_descriptors(struct broker *broker) {
    struct rlimit limit;
    rlim_t wanted = broker->config->max_clients + SPARE_DESCRIPTORS;
    broker->max_clients = broker->config->max_clients;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < wanted) {
        wanted = limit.rlim_max;
        broker->max_clients = wanted > 2 * SPARE_DESCRIPTORS ? wanted - SPARE_DESCRIPTORS : wanted / 2;
    }
    limit.rlim_cur = wanted;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void add_queue(struct broker *broker, struct agenda_queue *queue, uint64_t delay_ms,
                      void (*on_due)(void *owner, struct agenda_entry *entry)) {
    *queue = (struct agenda_queue){.delay_ms = delay_ms, .on_due = on_due, .owner = broker};
    agenda_add_queue(&broker->agenda, queue);
}

static void start_agenda(struct broker *broker) {
    agenda_init(&broker->agenda, &broker->loop, on_agenda_turn, broker);
    add_queue(broker, &broker->idle, broker->config->ping_interval_ms, session_on_idle);
    add_queue(broker, &broker->pong, SESSION_PONG_MS, session_on_silent);
    add_queue(broker, &broker->probe, SESSION_PROBE_MS, session_on_silent);
    add_queue(broker, &broker->stalled, SESSION_STALL_MS, session_on_stalled);
    add_queue(broker, &broker->retry, ATTACH_RETRY_MS, attach_on_retry);
    add_queue(broker, &broker->remember, broker->config->remember_ms / 3, session_on_remember);
}

static bool start_server(struct broker *broker) {
    const struct websocket_options options = {.loop = &broker->loop,
                                              .agenda = &broker->agenda,
                                              .log = broker->log,
                                              .events = {.on_judge = on_judge,
                                                         .on_open = on_open,
                                                         .on_piece = session_on_piece,
                                                         .on_pong = session_on_pong,
                                                         .on_drained = session_on_drained,
                                                         .on_closed = session_on_closed,
                                                         .on_admin = admin_answer},
                                              .owner = broker};
    broker->server = websocket_server_new(&options);
    if (!broker->server)
        pg_log(broker->log, PG_LOG_ERROR, NULL,
               "libwebsockets cannot start: is its libuv plugin installed (libwebsockets-evlib-uv)?");
    return broker->server != NULL;
}

static bool start_bus(struct broker *broker) {
    const struct pg_bus_options options = {.loop = &broker->loop,
                                           .log = broker->log,
                                           .url = &broker->config->redis,
                                           .process = broker->process,
                                           .remember_ms = broker->config->remember_ms,
                                           .events = {.on_message = tunnel_on_message,
                                                      .on_control = attach_on_control,
                                                      .on_garbage = on_garbage,
                                                      .on_state = on_state,
                                                      .on_refused = on_refused,
                                                      .on_heartbeat = on_heartbeat,
                                                      .on_undelivered = on_undelivered,
                                                      .on_request = tunnel_on_request,
                                                      .on_taken = tunnel_on_taken,
                                                      .on_attach = attach_on_answer},
                                           .owner = broker};
    broker->bus = pg_bus_new(&options);
    if (!broker->bus) pg_log(broker->log, PG_LOG_ERROR, NULL, "out of memory at the start");
    return broker->bus != NULL;
}

/* What the command line says goes before what systemd passed. */
static bool listen_at(struct broker *broker, int which, const char *address, bool passed) {
    char error[LISTENER_ERROR_MAX];
    const struct listener_options options = {.loop = &broker->loop,
                                             .log = broker->log,
                                             .address = address,
                                             .share = which == BROKER_CLIENTS && broker->config->share,
                                             .fd = PG_SERVICE_FIRST_SOCKET + which,
                                             .on_accept = on_accept,
                                             .owner = broker};
    if (!address && !passed) return true;
    if (!listener_open(&broker->listeners[which], &options, error)) {
        pg_log(broker->log, PG_LOG_ERROR, NULL, "%s: %s", which == BROKER_ADMIN ? "--admin" : "--listen", error);
        broker->exit_status = PG_EXIT_USAGE;
        return false;
    }
    return true;
}

static void start_signals(struct broker *broker) {
    static const int numbers[] = {SIGTERM, SIGINT};
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        uv_signal_init(&broker->loop, &broker->signals[i]);
        broker->signals[i].data = broker;
        uv_signal_start(&broker->signals[i], on_signal, numbers[i]);
    }
    uv_timer_init(&broker->loop, &broker->deadline);
    broker->deadline.data = broker;
    pg_watchdog_start(&broker->watchdog, &broker->loop);
}

static bool start(struct broker *broker) {
    const struct config *config = broker->config;
    bool good = start_server(broker) && listen_at(broker, BROKER_CLIENTS, config->listen, config->sockets > BROKER_CLIENTS) &&
                listen_at(broker, BROKER_ADMIN, config->admin, config->sockets > BROKER_ADMIN) && start_bus(broker);
    if (!good) return false;
    /* Not before Redis has let us in: others may serve the same socket, and better. But clients need not wait for one that is away. */
    listener_hold(&broker->listeners[BROKER_CLIENTS]);
    uv_timer_start(&broker->deadline, on_begin, BEGIN_MS, 0);
    return true;
}

static void close_all(struct broker *broker) {
    /* libuv gives the signals back to the kernel, and one more in the last moment would make a good end look like a bad
     * one. */
    pg_service_hold_signals(NULL);
    for (int i = 0; i < BROKER_LISTENERS; i++) listener_close(&broker->listeners[i]);
    for (int i = 0; i < 2; i++) uv_close((uv_handle_t *)&broker->signals[i], NULL);
    uv_close((uv_handle_t *)&broker->deadline, NULL);
    pg_watchdog_close(&broker->watchdog);
    agenda_close(&broker->agenda);
    if (broker->server) websocket_server_free(broker->server);
    uv_run(&broker->loop, UV_RUN_DEFAULT);
    uv_loop_close(&broker->loop);
    tunnel_free_all(broker);
}

int broker_run(const struct config *config, const struct pg_log *log) {
    struct broker *broker = calloc(1, sizeof *broker);
    pg_heap_small_pages();
    pg_heap_keep();
    if (!broker || uv_loop_init(&broker->loop) != 0) {
        pg_log(log, PG_LOG_ERROR, NULL, "out of memory at the start");
        free(broker);
        return EXIT_FAILURE;
    }
    broker->config = config;
    broker->log = log;
    broker->process = pg_id_random();
    broker->started_ms = pg_clock_unix_ms();
    for (int i = 0; i < BROKER_LISTENERS; i++) broker->listeners[i].fd = -1;
    limit_descriptors(broker);
    start_signals(broker);
    start_agenda(broker);
    bool started = start(broker);
    if (!started && broker->exit_status == EXIT_SUCCESS) broker->exit_status = EXIT_FAILURE;
    if (started) uv_run(&broker->loop, UV_RUN_DEFAULT);
    close_all(broker);
    if (broker->exit_status == EXIT_SUCCESS) pg_log(log, PG_LOG_INFO, NULL, "ended");
    int status = broker->exit_status;
    free(broker);
    return status;
}
