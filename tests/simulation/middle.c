#include "middle.h"

#include "broker_link.h"
#include "bus.h"
#include "client_end.h"
#include "handler_end.h"
#include "observer.h"
#include "queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAYS_MAX = 32, ANSWERS_MAX = 128 };

/* One session of the client: a connection to a broker, and what is under way on it and behind it. */
struct link {
    struct middle *middle;
    struct pg_envelope envelope;
    uint32_t life;
    bool open;     /* the client can send */
    bool read;     /* the client reads what still comes */
    bool session;  /* the broker has it */
    bool asks;     /* the broker is about to attach it */
    bool attached; /* the client was told that it is */
    bool dead;     /* the broker is */
    size_t room;   /* messages that the client may have under way */
    struct message draft;
    struct queue up, down;
    struct queue straight; /* requests that were sent straight to the session, on their way to the broker */
};

struct answer_of_redis {
    enum { ON_OPEN, ON_ROUTE, ON_ROUTED, ON_NOT_TAKEN, ON_MOVED } kind;
    struct pg_id exchange;
    enum pg_bus_result result;
    struct pg_id broker;
    uint64_t session;
};

struct pg_bus {
    struct middle *middle;
};

struct middle {
    struct world *world;
    struct pg_bus bus;
    bool bus_up; /* the handler's connection to Redis */
    struct pg_bus_counters counters;
    /* Redis */
    struct queue list; /* requests that wait */
    bool known;        /* the tunnel is */
    uint32_t route_life;
    struct link *route; /* NULL: nobody is attached */
    struct answer_of_redis answers[ANSWERS_MAX];
    size_t answers_first, answers_count;
    /* the client's connections */
    struct link links[WAYS_MAX];
    size_t links_count;
    struct link *current, *next;
};

/* --- Redis, as the handler has it --- */

static struct link *link_with(struct middle *middle, uint64_t session) {
    for (size_t i = 0; i < middle->links_count; i++)
        if (middle->links[i].envelope.session == session) return &middle->links[i];
    return NULL;
}

static void answer(struct middle *middle, struct answer_of_redis what) {
    if (middle->answers_count == ANSWERS_MAX) abort();
    middle->answers[(middle->answers_first + middle->answers_count++) % ANSWERS_MAX] = what;
}

static bool may_send(struct middle *middle) {
    return middle->bus_up && (middle->world->calm || !chance(middle->world, 200));
}

bool pg_bus_is_up(const struct pg_bus *bus) {
    return bus->middle->bus_up;
}

const struct pg_bus_counters *pg_bus_counters(const struct pg_bus *bus) {
    return &bus->middle->counters;
}

bool pg_bus_open(struct pg_bus *bus, const struct pg_id *tunnel, const struct pg_id *exchange, bool again, const uint8_t *frame,
                 size_t length) {
    struct middle *middle = bus->middle;
    struct answer_of_redis result = {.kind = ON_OPEN, .exchange = *exchange, .result = PG_BUS_OK};
    (void)tunnel;
    if (!may_send(middle)) return false;
    bool taken_from = middle->route && middle->route->session;
    if (!middle->known) result.result = PG_BUS_NO_TUNNEL;
    else if (again && middle->list.count && !taken_from) result.result = PG_BUS_OK; /* it is taken to be there still */
    else if (!queue_put(&middle->list, FRAME, frame, length, NULL, 0)) result.result = PG_BUS_FULL;
    answer(middle, result);
    return true;
}

bool pg_bus_find_route(struct pg_bus *bus, const struct pg_id *tunnel) {
    struct middle *middle = bus->middle;
    struct answer_of_redis result = {.kind = ON_ROUTE};
    (void)tunnel;
    if (!middle->bus_up) return false;
    if (middle->route) result.broker = middle->route->envelope.broker;
    if (middle->route) result.session = middle->route->envelope.session;
    answer(middle, result);
    return true;
}

static void withdraw(struct queue *queue, const uint8_t *frame, size_t length) {
    struct message message;
    for (size_t left = queue->count; left > 0 && queue_take(queue, &message); left--) {
        bool same = message.length == length && memcmp(message.bytes, frame, length) == 0;
        if (!same) queue_put(queue, FRAME, message.bytes, message.length, NULL, 0);
        free(message.bytes);
    }
}

bool pg_bus_withdraw(struct pg_bus *bus, const struct pg_envelope *from, const uint8_t *frame, size_t length) {
    struct middle *middle = bus->middle;
    struct link *link = link_with(middle, from->session);
    if (!middle->bus_up) return false;
    if (pg_id_is_zero(&from->broker)) withdraw(&middle->list, frame, length);
    else if (link && chance(middle->world, 2)) withdraw(&link->straight, frame, length); /* or the broker has read it */
    return true;
}

/* Whether the session is there still, and holds the tunnel, is seen when it arrives at its broker. One that is dead may be known to be. */
bool pg_bus_open_straight(struct pg_bus *bus, const struct pg_envelope *way, const struct pg_id *exchange, const uint8_t *frame,
                          size_t length) {
    struct middle *middle = bus->middle;
    struct link *link = link_with(middle, way->session);
    struct answer_of_redis failure = {.kind = ON_OPEN, .exchange = *exchange, .result = PG_BUS_GONE};
    if (!may_send(middle)) return false;
    if (link && !link->dead) queue_put(&link->straight, FRAME, frame, length, NULL, 0);
    else if (chance(middle->world, 2)) answer(middle, failure);
    return true;
}

bool pg_bus_send(struct pg_bus *bus, const struct pg_id *to, const struct pg_envelope *envelope, const uint8_t *head,
                 size_t head_length, const uint8_t *body, size_t body_length) {
    struct middle *middle = bus->middle;
    struct link *link = link_with(middle, envelope->session);
    (void)to;
    if (!may_send(middle)) return false;
    if (!link || !link->session) return true; /* the broker knows of no such session */
    if (!queue_put(&link->down, FRAME, head, head_length, body, body_length)) return true;
    const struct message *message = queue_newest(&link->down);
    observe_sent(middle->world, REQUEST, message->bytes, message->length);
    return true;
}

/* --- the connection, as the client has it --- */

bool link_is_open(const struct link *link) {
    return link->open;
}

bool link_is_flushed(const struct link *link) {
    return link->up.count < link->room;
}

void link_flush(struct link *link) {
    (void)link;
}

uint8_t *link_begin(struct link *link, size_t size) {
    if (!link->open || link->up.count >= link->room) return NULL;
    free(link->draft.bytes);
    link->draft = (struct message){.bytes = malloc(size), .length = size};
    if (!link->draft.bytes) abort();
    return link->draft.bytes;
}

void link_commit(struct link *link) {
    observe_sent(link->middle->world, RESPONSE, link->draft.bytes, link->draft.length);
    queue_put(&link->up, FRAME, link->draft.bytes, link->draft.length, NULL, 0);
}

/* --- what happens by itself --- */

static void close_link(struct middle *middle, struct link *link) {
    if (middle->current == link) {
        middle->current = NULL;
        client_detach(middle->world->client);
    }
    if (middle->next == link) middle->next = NULL;
    link->open = false;
}

bool middle_moves_up(struct middle *middle) {
    struct message message;
    size_t first = (size_t)below(middle->world, middle->links_count);
    if (!middle->bus_up) return false;
    for (size_t i = 0; i < middle->links_count; i++) {
        struct link *link = &middle->links[(first + i) % middle->links_count];
        if (!queue_take(&link->up, &message)) continue;
        observe_arrived(middle->world, REQUEST, message.bytes, message.length, link->life);
        handler_takes(middle->world->handler, &link->envelope, message.bytes, message.length);
        free(message.bytes);
        if (link == middle->current && link_is_flushed(link)) client_room(middle->world->client);
        return true;
    }
    return false;
}

static void told_attached(struct middle *middle, struct link *link) {
    if (!link->open) return;
    struct link *before = middle->current;
    middle->current = link;
    if (middle->next == link) middle->next = NULL;
    client_attach(middle->world->client, link);
    if (before && before != link) before->open = false; /* it says goodbye there, and reads what still comes */
}

bool middle_moves_down(struct middle *middle) {
    struct message message;
    size_t first = (size_t)below(middle->world, middle->links_count);
    for (size_t i = 0; i < middle->links_count; i++) {
        struct link *link = &middle->links[(first + i) % middle->links_count];
        if (!link->read || !queue_take(&link->down, &message)) continue;
        if (message.kind == ATTACHED) told_attached(middle, link);
        else if (message.kind == RESYNC) client_announce(middle->world->client);
        else {
            observe_arrived(middle->world, RESPONSE, message.bytes, message.length, 0);
            client_take(middle->world->client, message.bytes, message.length);
        }
        free(message.bytes);
        return true;
    }
    return false;
}

/* A request goes to the client. */
static void pass_on(struct middle *middle, struct link *link, const struct message *message, bool by_list) {
    observe_given(middle->world, message->bytes, message->length, link->life, by_list);
    queue_put(&link->down, FRAME, message->bytes, message->length, NULL, 0);
}

static void refuse(struct middle *middle, const struct link *link, const struct message *message) {
    struct answer_of_redis what = {.kind = ON_NOT_TAKEN, .session = link->envelope.session};
    struct pg_frame frame;
    if (pg_frame_decode(message->bytes, message->length, &frame)) return;
    what.exchange = frame.exchange;
    answer(middle, what);
}

/* One that was sent straight to a session goes to that one, or its handler is told. A broker that may not know any more who holds the tunnel
 * passes none on, so it does as if it knew. */
static bool takes_straight(struct middle *middle) {
    struct message message;
    size_t first = (size_t)below(middle->world, middle->links_count);
    for (size_t i = 0; i < middle->links_count; i++) {
        struct link *link = &middle->links[(first + i) % middle->links_count];
        if (!queue_take(&link->straight, &message)) continue;
        bool room = !chance(middle->world, 8), holds = link->session && link->attached && link == middle->route;
        if (room && holds) pass_on(middle, link, &message, false);
        else refuse(middle, link, &message);
        free(message.bytes);
        return true;
    }
    return false;
}

static bool takes_from_list(struct middle *middle) {
    struct message message;
    struct link *link = middle->route;
    if (!link || !link->session || !link->attached || !queue_take(&middle->list, &message)) return false;
    pass_on(middle, link, &message, true);
    free(message.bytes);
    return true;
}

bool middle_takes_request(struct middle *middle) {
    if (chance(middle->world, 2)) return takes_straight(middle) || takes_from_list(middle);
    return takes_from_list(middle) || takes_straight(middle);
}

/* The broker asks Redis for the tunnel, and has it: nobody else's client is in the way here. */
static void attach(struct middle *middle, struct link *link) {
    struct link *before = middle->route;
    link->asks = false;
    if (middle->route_life && middle->route_life != link->life && middle->bus_up)
        answer(middle, (struct answer_of_redis){.kind = ON_ROUTED});
    if (before && before != link && middle->bus_up)
        answer(middle, (struct answer_of_redis){.kind = ON_MOVED, .session = link->envelope.session});
    middle->known = true;
    middle->route = link;
    middle->route_life = link->life;
    if (before && before != link && before->session) {                   /* REPLACED */
        bool left = before != middle->current && before != middle->next; /* the client has, and may read what still comes */
        before->session = false;
        before->read = before->read && left && chance(middle->world, 2);
        if (!before->read) close_link(middle, before);
    }
    queue_put(&link->down, link->attached ? RESYNC : ATTACHED, NULL, 0, NULL, 0);
    link->attached = true;
}

bool middle_attaches(struct middle *middle) {
    size_t first = (size_t)below(middle->world, middle->links_count);
    for (size_t i = 0; i < middle->links_count; i++) {
        struct link *link = &middle->links[(first + i) % middle->links_count];
        if (!link->session || !link->asks) continue;
        attach(middle, link);
        return true;
    }
    return false;
}

bool middle_answers(struct middle *middle) {
    if (middle->answers_count == 0) return false;
    struct answer_of_redis what = middle->answers[middle->answers_first];
    middle->answers_first = (middle->answers_first + 1) % ANSWERS_MAX;
    middle->answers_count--;
    switch (what.kind) {
    case ON_OPEN: handler_on_open(middle->world->handler, &what.exchange, what.result); break;
    case ON_ROUTE: handler_on_route(middle->world->handler, &what.broker, what.session); break;
    case ON_ROUTED: handler_on_routed(middle->world->handler); break;
    case ON_NOT_TAKEN: handler_on_not_taken(middle->world->handler, &what.exchange, what.session); break;
    case ON_MOVED: handler_on_moved(middle->world->handler, what.session); break;
    }
    return true;
}

static void make_connection(struct middle *middle) {
    struct world *world = middle->world;
    if (middle->links_count == WAYS_MAX) return;
    struct link *link = &middle->links[middle->links_count++];
    struct pg_id instance = client_instance(world->life);
    *link = (struct link){.middle = middle, .life = world->life, .open = true, .read = true, .session = true, .asks = true};
    link->room = 4 + (size_t)below(world, 40);
    link->envelope = (struct pg_envelope){.tunnel = tunnel_id, .broker = {{(uint8_t)(10 + middle->links_count)}}};
    link->envelope.session = pg_session_make(&instance, (uint32_t)middle->links_count);
    middle->next = link;
}

bool middle_connects(struct middle *middle) {
    if (middle->current || middle->next || middle->links_count == WAYS_MAX) return false;
    make_connection(middle);
    return true;
}

/* --- what breaks --- */

/* The handler's connection: what was asked is not known to be done, and a message may be lost with it. */
static void cut_bus(struct middle *middle) {
    middle->bus_up = false;
    for (size_t i = 0; i < middle->answers_count; i++) {
        struct answer_of_redis *what = &middle->answers[(middle->answers_first + i) % ANSWERS_MAX];
        if (what->kind == ON_OPEN) what->result = PG_BUS_DOWN;
    }
    for (size_t i = 0, left = middle->answers_count; i < left; i++) { /* only of OPENs something is heard */
        struct answer_of_redis what = middle->answers[middle->answers_first];
        middle->answers_first = (middle->answers_first + 1) % ANSWERS_MAX;
        middle->answers_count--;
        if (what.kind != ON_ROUTE) answer(middle, what);
    }
}

static void mend_bus(struct middle *middle) {
    if (middle->bus_up) return;
    middle->bus_up = true;
    middle->counters.reconnects++;
    handler_on_bus_up(middle->world->handler);
}

/* The session ends, and the broker knows or is dead. What has come of the client is on its way. */
static void cut_link(struct middle *middle, struct link *link, bool broker_dies) {
    if (!link) return;
    if (broker_dies) queue_lose_some(middle->world, &link->up);
    if (broker_dies) queue_clear(&link->straight);
    link->dead = broker_dies;
    close_link(middle, link);
    link->read = link->session = link->asks = false;
    queue_clear(&link->down);
    if (middle->route == link && !broker_dies) middle->route = NULL;
}

static void restart_redis(struct middle *middle) {
    cut_bus(middle);
    queue_clear(&middle->list);
    middle->known = false;
    middle->route = NULL;
    middle->route_life = 0;
    for (size_t i = 0; i < middle->links_count; i++) {
        queue_lose_some(middle->world, &middle->links[i].up);
        queue_lose_some(middle->world, &middle->links[i].down);
        queue_lose_some(middle->world, &middle->links[i].straight);
        middle->links[i].asks = middle->links[i].session;
    }
}

void middle_breaks(struct middle *middle) {
    struct world *world = middle->world;
    struct link *link = &middle->links[below(world, middle->links_count)];
    bool room = middle->links_count + 4 < WAYS_MAX;
    switch (below(world, 10)) {
    case 0: queue_lose_some(world, &link->up); break;
    case 1: queue_lose_some(world, &link->down); break;
    case 2: queue_lose_some(world, chance(world, 2) ? &middle->list : &link->straight); break;
    case 3:
        if (room && middle->current && !middle->next) make_connection(middle); /* GOAWAY: it moves */
        break;
    case 4:
        if (room) cut_link(middle, middle->current ? middle->current : middle->next, false);
        break;
    case 5:
        if (room) cut_link(middle, middle->current ? middle->current : middle->next, true);
        break;
    case 6: cut_bus(middle); break;
    case 7:
    case 8: mend_bus(middle); break;
    default:
        if (chance(world, 3)) restart_redis(middle);
        break;
    }
}

void middle_client_is_gone(struct middle *middle) {
    middle->current = middle->next = NULL;
    for (size_t i = 0; i < middle->links_count; i++) {
        struct link *link = &middle->links[i];
        if (middle->route == link) middle->route = NULL;
        link->open = link->read = link->session = link->asks = false;
        queue_clear(&link->down);
    }
}

void middle_heals(struct middle *middle) {
    mend_bus(middle);
}

bool middle_is_empty(const struct middle *middle) {
    for (size_t i = 0; i < middle->links_count; i++)
        if (middle->links[i].up.count || (middle->links[i].read && middle->links[i].down.count) || middle->links[i].straight.count)
            return false;
    return middle->list.count == 0 && middle->answers_count == 0;
}

void middle_show(const struct middle *middle) {
    printf("bus %s, %zu requests wait, route %d, %zu connections\n", middle->bus_up ? "up" : "down", middle->list.count,
           middle->route ? (int)(middle->route - middle->links) : -1, middle->links_count);
    for (size_t i = 0; i < middle->links_count; i++) {
        const struct link *link = &middle->links[i];
        printf("  %zu: life %u%s%s%s%s%s%s, up %zu, down %zu\n", i, link->life, link->open ? ", open" : "",
               link->read ? ", read" : "", link->session ? ", session" : "", link->attached ? ", attached" : "",
               link == middle->current ? ", current" : "", link == middle->next ? ", next" : "", link->up.count, link->down.count);
    }
}

/* --- birth and death --- */

struct middle *middle_new(struct world *world) {
    struct middle *middle = calloc(1, sizeof *middle);
    if (!middle) abort();
    middle->world = world;
    middle->bus.middle = middle;
    middle->bus_up = true;
    return middle;
}

void middle_free(struct middle *middle) {
    for (size_t i = 0; i < middle->links_count; i++) {
        queue_clear(&middle->links[i].up);
        queue_clear(&middle->links[i].down);
        queue_clear(&middle->links[i].straight);
        free(middle->links[i].draft.bytes);
    }
    queue_clear(&middle->list);
    free(middle);
}

struct pg_bus *middle_bus(struct middle *middle) {
    return &middle->bus;
}
