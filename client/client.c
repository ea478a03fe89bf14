#include "client.h"

#include "footprint.h"
#include "heap.h"
#include "relay.h"
#include "request_log.h"
#include "service.h"
#include "tunnel.h"

#include <curl/curl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DRAIN_MS = 5000,   /* for the requests that run when a signal comes */
    FAREWELL_MS = 1000 /* for telling those that do not finish */
};

struct client {
    struct config *config;
    uv_loop_t loop;
    struct pg_id instance;
    struct request_log *request_log;
    struct relay *relay;
    struct tunnel *tunnel;
    uv_signal_t interrupt, terminate;
    uv_timer_t deadline;
    struct pg_heap_spare spare;
    enum { RUNNING, DRAINING, BREAKING_OFF, STOPPING } state;
    bool attached_once;
    int status;
    char public_url[PG_URL_MAX + 1]; /* the one printed last */
};

/* --- The end --- */

static void on_relay_closed(void *owner) {
    (void)owner;
}

static void on_tunnel_closed(void *owner) {
    struct client *client = owner;
    relay_close(client->relay, on_relay_closed);
    request_log_close(client->request_log);
    uv_close((uv_handle_t *)&client->interrupt, NULL);
    uv_close((uv_handle_t *)&client->terminate, NULL);
    uv_close((uv_handle_t *)&client->deadline, NULL);
}

static void stop(struct client *client) {
    if (client->state == STOPPING) return;
    client->state = STOPPING;
    relay_detach(client->relay);
    tunnel_close(client->tunnel, on_tunnel_closed);
}

static void on_deadline(uv_timer_t *timer) {
    struct client *client = timer->data;
    if (client->state == DRAINING) {
        client->state = BREAKING_OFF;
        relay_break_off(client->relay);
        uv_timer_start(timer, on_deadline, FAREWELL_MS, 0);
    } else {
        stop(client);
    }
}

static void on_idle(void *owner) {
    stop(owner);
}

static void on_signal(uv_signal_t *handle, int number) {
    struct client *client = handle->data;
    (void)number;
    if (client->state != RUNNING) _Exit(client->status);
    client->state = DRAINING;
    pg_service_notify("STOPPING=1");
    size_t live = relay_live(client->relay);
    if (live)
        pg_log(&client->config->log, PG_LOG_INFO, NULL, "stopping: %zu requests are finished first (again to stop at once)", live);
    relay_drain(client->relay);
    uv_timer_start(&client->deadline, on_deadline, DRAIN_MS, 0);
}

/* --- The tunnel's events --- */

static void print_url(struct client *client, const struct pg_attached *attached) {
    char derived[SERVER_URL_TEXT], line[2 * SERVER_URL_TEXT + 512];
    const char *url = server_url_public(&client->config->server, derived);
    size_t length = strlen(url);
    if (attached->url_length) {
        url = attached->url;
        length = attached->url_length;
    }
    if (client->attached_once && length == strlen(client->public_url) && memcmp(url, client->public_url, length) == 0) return;
    snprintf(client->public_url, sizeof client->public_url, "%.*s", (int)length, url);
    snprintf(line, sizeof line, "%s -> %s%s", client->public_url, client->config->target.name, client->config->target.prefix);
    for (char *c = line; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = '?';
    request_log_say(client->request_log, line);
}

static void on_attached(void *owner, struct link *link, const struct pg_attached *attached) {
    struct client *client = owner;
    size_t window = attached->window < PG_WINDOW ? attached->window : PG_WINDOW;
    print_url(client, attached);
    relay_attach(client->relay, link, window);
    if (client->attached_once) return;
    client->attached_once = true;
    pg_service_notify("READY=1");
    pg_footprint_release();
}

static void on_detached(void *owner) {
    struct client *client = owner;
    relay_detach(client->relay);
}

static void on_resync(void *owner) {
    struct client *client = owner;
    relay_announce(client->relay);
}

static void on_room(void *owner) {
    struct client *client = owner;
    relay_room(client->relay);
}

static const char *on_frame(void *owner, const struct pg_frame *frame) {
    struct client *client = owner;
    return relay_take(client->relay, frame);
}

static void on_heartbeat(void *owner) {
    struct client *client = owner;
    pg_heap_give_back(&client->spare);
}

static void on_refused(void *owner) {
    struct client *client = owner;
    client->status = TUNNEL_EXIT_REFUSED;
    stop(client);
}

/* --- The beginning --- */

static bool make_relay(struct client *client) {
    struct config *config = client->config;
    struct relay_options options = {.loop = &client->loop,
                                    .log = &config->log,
                                    .request_log = client->request_log,
                                    .tunnel = &config->server.tunnel,
                                    .instance = &client->instance,
                                    .local = {.target = &config->target,
                                              .insecure = config->target_insecure,
                                              .host = config->host,
                                              .host_value = config->host_value,
                                              .connect_timeout_ms = config->connect_timeout_ms},
                                    .max_concurrent = config->max_concurrent,
                                    .on_idle = on_idle,
                                    .owner = client};
    client->relay = relay_new(&options);
    return client->relay != NULL;
}

static bool make_tunnel(struct client *client) {
    struct tunnel_options options = {.loop = &client->loop,
                                     .config = client->config,
                                     .instance = &client->instance,
                                     .on_attached = on_attached,
                                     .on_detached = on_detached,
                                     .on_resync = on_resync,
                                     .on_room = on_room,
                                     .on_frame = on_frame,
                                     .on_refused = on_refused,
                                     .on_heartbeat = on_heartbeat,
                                     .owner = client};
    client->tunnel = tunnel_new(&options);
    return client->tunnel != NULL;
}

static void start_signals(struct client *client) {
    signal(SIGPIPE, SIG_IGN);
    uv_signal_init(&client->loop, &client->interrupt);
    uv_signal_init(&client->loop, &client->terminate);
    uv_timer_init(&client->loop, &client->deadline);
    client->interrupt.data = client->terminate.data = client->deadline.data = client;
    uv_signal_start(&client->interrupt, on_signal, SIGINT);
    uv_signal_start(&client->terminate, on_signal, SIGTERM);
}

int client_run(struct config *config) {
    struct client client = {.config = config, .instance = pg_id_random()};
    pg_heap_small_pages();
    pg_heap_one_arena(); /* libcurl's resolver threads would get one each */
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || uv_loop_init(&client.loop) != 0) {
        pg_log(&config->log, PG_LOG_ERROR, NULL, "cannot start: libcurl or libuv fails to initialise");
        return EXIT_FAILURE;
    }
    client.request_log = request_log_new(&client.loop, config->quiet);
    if (!client.request_log || !make_relay(&client) || !make_tunnel(&client)) {
        pg_log(&config->log, PG_LOG_ERROR, NULL, "cannot start: out of memory");
        return EXIT_FAILURE;
    }
    start_signals(&client);
    uv_run(&client.loop, UV_RUN_DEFAULT);
    uv_loop_close(&client.loop);
    curl_global_cleanup();
    return client.status;
}
