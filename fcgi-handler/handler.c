#include "handler.h"

#include "clock.h"
#include "exchange.h"
#include "exchange_path.h"
#include "exchange_request.h"
#include "options.h"
#include "own_pages.h"
#include "service.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    POOL_THREADS = 8,
    SPARE_CONNECTIONS = 1024, /* idle kept connections and refusals, beyond the requests in flight */
    LIST_SPARE_MS = 5000,     /* a request list lives this much longer than a request may wait */
    BEGIN_MS = 1000           /* for Redis to answer, before the first request is taken all the same */
};

static const int signal_numbers[2] = {SIGTERM, SIGINT};

static void on_visit(void *owner, struct visit *visit) {
    struct handler *handler = owner;
    struct request *request = &handler->request;
    struct pg_id id = pg_id_pool_take(&handler->ids);
    switch (request_read(request, visit_params(visit), &id, handler->config.max_header)) {
    case REQUEST_BAD: exchange_refuse(handler, visit, ANSWER_BAD_REQUEST, request->wrong); return;
    case REQUEST_TOO_LARGE: exchange_refuse(handler, visit, ANSWER_HEADER_TOO_LARGE, ""); return;
    case REQUEST_FINE: break;
    }
    switch (request->kind) {
    case REQUEST_OWN_PAGE: own_page_answer(handler, visit, request->page); break;
    case REQUEST_NO_TUNNEL: exchange_refuse(handler, visit, ANSWER_NO_TUNNEL, ""); break;
    case REQUEST_TUNNEL: exchange_begin(handler, visit, &id); break;
    }
}

static void on_message(void *owner, const struct pg_envelope *envelope, const uint8_t *frame, size_t length) {
    exchange_on_message(owner, envelope, frame, length);
}

static void on_open(void *owner, const struct pg_id *exchange, enum pg_bus_result result) {
    exchange_on_open(owner, exchange, result);
}

static void on_garbage(void *owner, const char *what) {
    struct handler *handler = owner;
    handler->counters.dropped_messages++;
    pg_log(&handler->log, PG_LOG_WARN, NULL, "message dropped: %s", what);
}

static void on_control(void *owner, const struct pg_control *control) {
    struct handler *handler = owner;
    struct tunnel *tunnel;
    switch (control->kind) {
    case PG_ROUTED:
        tunnel = exchange_find_tunnel(handler, &control->tunnel);
        if (tunnel) exchange_find_route(handler, tunnel, true);
        break;
    case PG_NOT_TAKEN: exchange_on_not_taken(handler, &control->exchange, control->session); break;
    case PG_MOVED: exchange_on_moved(handler, &control->tunnel, control->session); break;
    case PG_BELL:
    case PG_PROBE:
    case PG_REPLACED: break; /* for brokers */
    }
}

static void on_route(void *owner, const struct pg_id *tunnel, const struct pg_id *broker, uint64_t session) {
    exchange_on_route(owner, tunnel, broker, session);
}

static void begin(struct handler *handler) {
    const char *socket = handler->config.socket;
    if (handler->phase != PG_STARTING) return;
    handler->phase = PG_SERVING;
    uv_timer_stop(&handler->drain);
    front_start_accepting(handler->front);
    pg_log(&handler->log, PG_LOG_INFO, NULL, "serving FastCGI on %s", socket ? socket : "the socket it was given");
    pg_service_notify("READY=1");
}

static void on_begin(uv_timer_t *timer) {
    begin(timer->data);
}

static void on_state(void *owner, bool up) {
    struct handler *handler = owner;
    if (up) begin(handler);
    pg_log(&handler->log, up ? PG_LOG_INFO : PG_LOG_WARN, NULL, up ? "the bus is up" : "the bus is down");
    if (up) exchange_on_bus_up(handler);
}

static void on_heartbeat(void *owner) {
    struct handler *handler = owner;
    pg_heap_give_back(&handler->spare);
}

static void on_drain_over(uv_timer_t *timer);

/* That will not mend itself; and whoever starts us looks at the beginning. */
static void on_refused(void *owner, const char *why) {
    struct handler *handler = owner;
    if (handler->phase == PG_ENDING) return;
    pg_log(&handler->log, PG_LOG_ERROR, NULL, "--redis: %s", why);
    handler->exit_status = PG_EXIT_USAGE;
    handler->phase = PG_DRAINING;
    uv_timer_start(&handler->drain, on_drain_over, 0, 0); /* not from within the bus */
}

/* --- the end --- */

static void on_bus_closed(void *owner) {
    struct handler *handler = owner;
    for (size_t i = 0; i < 2; i++) {
        uv_close((uv_handle_t *)&handler->signals[i], NULL);
        signal(signal_numbers[i], SIG_IGN); /* it is over: a late one changes nothing */
    }
    uv_close((uv_handle_t *)&handler->drain, NULL);
    pg_watchdog_close(&handler->watchdog);
}

static void on_front_closed(void *owner) {
    struct handler *handler = owner;
    handler->front = NULL; /* it is freed */
    acks_close(&handler->acks);
    pg_bus_close(handler->bus, on_bus_closed);
}

static void on_drain_over(uv_timer_t *timer) {
    struct handler *handler = timer->data;
    if (handler->phase == PG_ENDING) return;
    handler->phase = PG_ENDING;
    if (handler->in_flight)
        pg_log(&handler->log, PG_LOG_WARN, NULL, "stopping with %llu requests in flight", (unsigned long long)handler->in_flight);
    exchange_end_all(handler);
    front_close(handler->front, on_front_closed);
    listener_close(&handler->listener);
    admin_close(&handler->admin);
}

/* Looks again: told from within the front, it was not known yet that a request which had just been read is in flight. */
static void on_drained(uv_timer_t *timer) {
    struct handler *handler = timer->data;
    uint64_t now = uv_now(&handler->loop), until = handler->drain_until_ms;
    bool busy = handler->in_flight || front_unfinished(handler->front);
    if (busy) uv_timer_start(timer, on_drain_over, until > now ? until - now : 0, 0);
    else on_drain_over(timer);
}

void handler_check_drained(struct handler *handler) {
    /* Not from here: the caller is in the middle of something. */
    if (handler->phase != PG_DRAINING || handler->in_flight || front_unfinished(handler->front)) return;
    uv_timer_start(&handler->drain, on_drained, 0, 0);
}

static void on_finished(void *owner) {
    handler_check_drained(owner);
}

static void drain(uv_timer_t *timer) {
    struct handler *handler = timer->data;
    handler->phase = PG_DRAINING;
    pg_log(&handler->log, PG_LOG_INFO, NULL, "stopping when %llu requests in flight are over",
           (unsigned long long)handler->in_flight);
    front_stop_accepting(handler->front);
    listener_close(&handler->listener);
    handler->drain_until_ms = uv_now(&handler->loop) + handler->config.drain_timeout_ms;
    uv_timer_start(&handler->drain, on_drain_over, handler->config.drain_timeout_ms, 0);
    handler_check_drained(handler);
}

static void on_signal(uv_signal_t *handle, int number) {
    struct handler *handler = handle->data;
    if (handler->phase >= PG_LEAVING) _exit(128 + number);
    handler->phase = PG_LEAVING;
    pg_service_notify("STOPPING=1");
    if (handler->config.drain_delay_ms) {
        pg_log(&handler->log, PG_LOG_INFO, NULL, "not ready any more; new requests are taken for another %llu ms",
               (unsigned long long)handler->config.drain_delay_ms);
        uv_timer_start(&handler->drain, drain, handler->config.drain_delay_ms, 0);
    } else {
        drain(&handler->drain);
    }
}

/* --- the beginning --- */

/* Sizes the pool before libuv makes it, and lets the process have as many descriptors as it may. */
static void prepare_process(void) {
    char threads[8];
    struct rlimit files;
    struct pg_text text = pg_text_in(threads, sizeof threads);
    pg_text_add(&text, "%d", POOL_THREADS);
    setenv("UV_THREADPOOL_SIZE", threads, 1);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

static void watch_signals(struct handler *handler) {
    for (size_t i = 0; i < 2; i++) {
        uv_signal_init(&handler->loop, &handler->signals[i]);
        handler->signals[i].data = handler;
        uv_signal_start(&handler->signals[i], on_signal, signal_numbers[i]);
    }
    uv_timer_init(&handler->loop, &handler->drain);
    handler->drain.data = handler;
}

static struct pg_bus *make_bus(struct handler *handler) {
    const struct pg_bus_options options = {
        .loop = &handler->loop,
        .log = &handler->log,
        .url = &handler->config.redis,
        .process = handler->process,
        .waiting_max = handler->config.max_waiting,
        .waiting_ms = handler->config.wait_timeout_ms + LIST_SPARE_MS,
        .hears_routes = true,
        .events = {.on_message = on_message,
                   .on_control = on_control,
                   .on_garbage = on_garbage,
                   .on_state = on_state,
                   .on_refused = on_refused,
                   .on_heartbeat = on_heartbeat,
                   .on_open = on_open,
                   .on_route = on_route},
        .owner = handler,
    };
    return pg_bus_new(&options);
}

static bool start(struct handler *handler) {
    const struct front_options options = {.loop = &handler->loop,
                                          .log = &handler->log,
                                          .listener = handler->listener.fd,
                                          .connections_max = (unsigned)handler->config.max_in_flight + SPARE_CONNECTIONS,
                                          .on_finished = on_finished,
                                          .on_visit = on_visit,
                                          .owner = handler};
    pg_watchdog_start(&handler->watchdog, &handler->loop);
    handler->process = pg_id_random();
    handler->front = front_new(&options);
    if (!handler->front) return false;
    handler->bus = make_bus(handler);
    if (!handler->bus) {
        pg_log(&handler->log, PG_LOG_ERROR, NULL, "out of memory at the start");
        return false;
    }
    acks_init(&handler->acks, &handler->loop, handler->bus, &handler->process);
    return true;
}

static bool open_admin(struct handler *handler) {
    char error[PG_ADDRESS_ERROR_MAX];
    const char *address = handler->config.admin;
    if (!address || admin_open(&handler->admin, handler, &handler->loop, address, error)) return true;
    pg_log(&handler->log, PG_LOG_ERROR, NULL, "--admin: %s", error);
    return false;
}

static int run(struct handler *handler) {
    const char *socket = handler->config.socket;
    watch_signals(handler); /* before libfcgi, which takes those that are free, and before there is a file to leave behind */
    /* Where it cannot begin, the system frees what was made. */
    if (!listener_open(&handler->listener, &handler->loop, &handler->log, socket, handler->config.share)) exit(PG_EXIT_USAGE);
    if (!start(handler)) {
        listener_close(&handler->listener);
        exit(EXIT_FAILURE);
    }
    if (!open_admin(handler)) {
        listener_close(&handler->listener);
        exit(PG_EXIT_USAGE);
    }
    /* Not before Redis has let us in: others may serve the same socket, and better. But a Redis that is away is told to visitors. */
    uv_timer_start(&handler->drain, on_begin, BEGIN_MS, 0);
    uv_run(&handler->loop, UV_RUN_DEFAULT);
    if (handler->exit_status == EXIT_SUCCESS) pg_log(&handler->log, PG_LOG_INFO, NULL, "stopped");
    return handler->exit_status;
}

int handler_run(const struct handler_config *config, const struct pg_log *log) {
    pg_heap_small_pages();
    pg_heap_keep();
    prepare_process();
    struct handler *handler = calloc(1, sizeof *handler);
    if (!handler) return EXIT_FAILURE;
    handler->config = *config;
    handler->log = *log;
    handler->started_ms = pg_clock_unix_ms();
    uv_loop_init(&handler->loop);
    int status = run(handler);
    uv_loop_close(&handler->loop);
    free(handler);
    return status;
}
