#include "client_end.h"

#include "relay.h"
#include "virtual_time.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE_MAX = 65536 };

struct local_request {
    struct local_service *service;
    struct request_plan *plan;
    void *owner;
    enum local_body mode;
    bool starved, full, read_all, head_made;
    size_t read, made;
};

struct local_service {
    struct world *world;
    struct local_events events;
    struct local_request *running[REQUESTS_MAX];
    size_t count;
};

struct client_end {
    struct world *world;
    struct pg_log log;
    struct pg_id instance;
    uv_loop_t loop;
    struct virtual_loop time;
    struct relay *relay;
    struct local_service service;
};

/* --- what the relay calls --- */

void request_log_add(struct request_log *log, const struct request_log_entry *entry) {
    (void)log;
    (void)entry;
}

struct local_service *local_service_new(const struct local_service_options *options) {
    struct virtual_loop *time = options->loop->data;
    struct world *world = time->world;
    struct local_service *service = &world->client->service;
    *service = (struct local_service){.world = world, .events = options->events};
    return service;
}

static void forget(struct local_request *request) {
    struct local_service *service = request->service;
    for (size_t i = 0; i < service->count; i++)
        if (service->running[i] == request) service->running[i] = service->running[--service->count];
    free(request);
}

void local_service_close(struct local_service *service, void (*on_closed)(void *owner), void *owner) {
    while (service->count) forget(service->running[0]);
    on_closed(owner);
}

void local_service_run(struct local_service *service) {
    (void)service;
}

const char *local_service_place(const struct local_service *service) {
    (void)service;
    return "the local service";
}

const char *local_request_check(const struct pg_open *open) {
    (void)open;
    return NULL;
}

void local_request_cancel(struct local_request *request) {
    forget(request);
}

void local_request_wake(struct local_request *request, bool input, bool room) {
    if (input) request->starved = false;
    if (room) request->full = false;
}

static void note_start(struct world *world, struct request_plan *plan) {
    if (plan->starts && plan->started_in == world->life) wrong(world, "one life of the client started it twice");
    plan->starts++;
    plan->started_in = world->life;
}

struct local_request *local_request_start(struct local_service *service, const struct pg_open *open, enum local_body body,
                                          void *owner) {
    struct world *world = service->world;
    struct local_request *request = calloc(1, sizeof *request);
    size_t number = (size_t)(open->target[1] - '0');
    if (!request || service->count == REQUESTS_MAX || number >= world->count) abort();
    struct request_plan *plan = &world->requests[number];
    *request = (struct local_request){.service = service, .plan = plan, .owner = owner, .mode = body};
    note_start(world, plan);
    if (body != LOCAL_BODY_STREAM) {
        size_t length = body == LOCAL_BODY_WHOLE ? open->body_bytes : 0;
        if (length != plan->request_length || memcmp(open->body, plan->request, length) != 0)
            wrong(world, "the local service got another request");
        request->read_all = true;
    }
    return service->running[service->count++] = request;
}

/* --- the local service --- */

static void read_some(struct local_request *request) {
    static char bytes[PIECE_MAX];
    struct world *world = request->service->world;
    const struct request_plan *plan = request->plan;
    bool end = false;
    size_t room = chance(world, 4) ? 1 + (size_t)below(world, 1000) : sizeof bytes;
    size_t length = request->service->events.on_want(request->owner, bytes, room, &end);
    request->starved = !length && !end;
    if (request->read + length > plan->request_length || memcmp(bytes, plan->request + request->read, length) != 0)
        wrong(world, "the local service got other bytes");
    request->read += length;
    request->read_all = end;
    if (end && request->read != plan->request_length) wrong(world, "the local service got a part of the request for all of it");
}

static void make_head(struct local_request *request) {
    const struct request_plan *plan = request->plan;
    char text[24];
    int length = snprintf(text, sizeof text, "%zu", plan->response_length);
    const struct pg_field field = {.name = "content-length", .name_length = 14, .value = text, .value_length = (uint32_t)length};
    request->head_made = true;
    if (!request->service->events.on_head(request->owner, 200, &field, plan->tells_length ? 1 : 0,
                                          plan->tells_length ? plan->response_length : PG_LENGTH_UNKNOWN))
        abort();
}

static void make_some(struct local_request *request) {
    struct world *world = request->service->world;
    size_t left = request->plan->response_length - request->made;
    size_t length = 1 + (size_t)below(world, chance(world, 4) ? 1000 : PIECE_MAX);
    if (length > left) length = left;
    switch (request->service->events.on_body(request->owner, request->plan->response + request->made, length)) {
    case LOCAL_TAKEN: request->made += length; break;
    case LOCAL_LATER: request->full = true; break;
    case LOCAL_REFUSED: wrong(world, "the client refused the response"); break;
    }
}

static void end(struct local_request *request, bool good) {
    const struct local_outcome outcome = {.good = good, .reason = PG_BROKEN, .sentence = "the local service broke off"};
    struct local_events events = request->service->events;
    void *owner = request->owner;
    forget(request);
    events.on_done(owner, &outcome);
}

static bool move(struct local_request *request) {
    struct world *world = request->service->world;
    const struct request_plan *plan = request->plan;
    if (plan->fails && chance(world, 20)) {
        end(request, false);
        return true;
    }
    bool reads = !request->read_all && !request->starved;
    bool speaks = request->read_all || plan->answers_early;
    bool more = request->made < plan->response_length;
    if (reads && (!speaks || chance(world, 2))) read_some(request);
    else if (!speaks) return false;
    else if (!request->head_made) make_head(request);
    else if (more && request->full) return false;
    else if (more) make_some(request);
    else end(request, true);
    return true;
}

bool client_service_moves(struct client_end *client) {
    struct local_service *service = &client->service;
    size_t first = below(client->world, service->count);
    for (size_t i = 0; i < service->count; i++)
        if (move(service->running[(first + i) % service->count])) return true;
    return false;
}

/* --- its life --- */

struct pg_id client_instance(uint32_t life) {
    return (struct pg_id){{(uint8_t)(life >> 24), (uint8_t)(life >> 16), (uint8_t)(life >> 8), (uint8_t)life}};
}

static void on_idle(void *owner) {
    (void)owner;
}

struct client_end *client_start(struct world *world, uint32_t life) {
    struct client_end *client = calloc(1, sizeof *client);
    if (!client) return NULL;
    client->world = world;
    client->log = (struct pg_log){.program = "pg-client", .level = PG_LOG_ERROR};
    client->instance = client_instance(life);
    virtual_loop_init(&client->time, &client->loop, world);
    world->client = client;
    const struct relay_options options = {.loop = &client->loop,
                                          .log = &client->log,
                                          .tunnel = &tunnel_id,
                                          .instance = &client->instance,
                                          .max_concurrent = REQUESTS_MAX,
                                          .on_idle = on_idle,
                                          .owner = client};
    client->relay = relay_new(&options);
    if (!client->relay) abort();
    return client;
}

void client_kill(struct client_end *client) {
    relay_detach(client->relay);
    relay_close(client->relay, NULL);
    virtual_loop_turn(&client->time);
    free(client);
}

void client_attach(struct client_end *client, struct link *link) {
    relay_attach(client->relay, link, PG_WINDOW);
}

void client_detach(struct client_end *client) {
    relay_detach(client->relay);
}

void client_announce(struct client_end *client) {
    relay_announce(client->relay);
}

void client_room(struct client_end *client) {
    relay_room(client->relay);
}

void client_take(struct client_end *client, const uint8_t *bytes, size_t length) {
    struct pg_frame frame;
    const char *bad = pg_frame_decode(bytes, length, &frame);
    if (!bad) bad = relay_take(client->relay, &frame);
    if (bad) wrong(client->world, bad);
}

void client_turn(struct client_end *client) {
    virtual_loop_turn(&client->time);
}

uint64_t client_next(const struct client_end *client) {
    return virtual_loop_next(&client->time);
}

bool client_is_idle(const struct client_end *client) {
    return relay_live(client->relay) == 0 && client->service.count == 0;
}
