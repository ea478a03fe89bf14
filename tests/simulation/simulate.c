/* Requests between two ends and a middle that loses, repeats, overtakes and restarts, in a time of its own, driven by a seed. The ends
 * are the programs' own code: see world.h. After every step what has arrived is the beginning of what was sent, and nothing is under way
 * or held beyond its window; in the end every visitor has its response and nothing is left anywhere; and the local service has had each
 * request once (again only where DESIGN section 5 allows it).
 *
 *     simulate [--seed FIRST] [--count N]     prints a failing seed, which can be given again; exits 1 then */
#include "client_end.h"
#include "handler_end.h"
#include "middle.h"
#include "virtual_time.h"
#include "world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* WILD_MS: well before an end gives up on one that does nothing (5 minutes). */
enum { WILD_STEPS = 3000, WILD_MS = 60000, CALM_STEPS = 200000, ACTIONS = 8, LEAP_MAX_MS = 400, LIVES_MAX = 4 };
/* All is well again: whoever still waits is served within this. 15 s: an end that has lost what it did not miss asks then. */
enum { SERVED_MS = 20000 };

const struct pg_id tunnel_id = {{3}}, handler_id = {{2}};

struct totals {
    uint64_t requests, outcomes[OUTCOME_GONE + 1], again, steps, virtual_ms;
};

uint64_t below(struct world *world, uint64_t limit) {
    world->random ^= world->random << 13;
    world->random ^= world->random >> 7;
    world->random ^= world->random << 17;
    return limit ? (world->random >> 11) % limit : 0;
}

bool chance(struct world *world, unsigned of) {
    return below(world, of) == 0;
}

void wrong(struct world *world, const char *what) {
    if (!world->wrong) world->wrong = what;
}

struct request_plan *find_request(struct world *world, const struct pg_id *id) {
    for (size_t i = 0; i < world->count; i++)
        if (pg_id_equal(&world->requests[i].id, id)) return &world->requests[i];
    return NULL;
}

/* --- a run's plan --- */

/* Most bodies fit into a frame; some need a window and more. */
static size_t some_length(struct world *world) {
    switch (below(world, 8)) {
    case 0: return 0;
    case 1:
    case 2:
    case 3: return (size_t)below(world, 3000);
    case 4:
    case 5: return (size_t)below(world, 30000);
    case 6: return (size_t)below(world, 400000);
    default: return (size_t)below(world, chance(world, 3) ? BODY_MAX : 100000);
    }
}

static void plan_request(struct world *world, size_t number) {
    struct request_plan *plan = &world->requests[number];
    *plan = (struct request_plan){.id = {{1, (uint8_t)number}}, .idempotent = chance(world, 2)};
    plan->has_body = !chance(world, 4);
    plan->request_length = plan->has_body ? some_length(world) : 0;
    plan->known_length = chance(world, 2);
    plan->response_length = some_length(world);
    plan->tells_length = chance(world, 2);
    plan->answers_early = chance(world, 6);
    plan->fails = chance(world, 12);
    plan->leaves = chance(world, 12);
    plan->request = world->bytes + below(world, BODY_TABLE - BODY_MAX);
    plan->response = world->bytes + below(world, BODY_TABLE - BODY_MAX);
}

/* --- what happens --- */

static void restart_client(struct world *world) {
    if (world->life == LIVES_MAX) return;
    for (size_t i = 0; i < world->count; i++)
        if (world->requests[i].starts && world->requests[i].started_in == world->life) world->requests[i].life_lost = true;
    middle_client_is_gone(world->middle);
    client_kill(world->client);
    world->client = client_start(world, ++world->life);
}

static void turn(struct world *world) {
    handler_turn(world->handler);
    client_turn(world->client);
}

/* To the next timer, or not so far; `idle`: nothing else can happen before. What attaches does so at once, compared with what times
 * out. */
static bool time_passes(struct world *world, bool idle) {
    uint64_t now = virtual_now(), next = handler_next(world->handler), of_client = client_next(world->client);
    if (middle_connects(world->middle) || middle_attaches(world->middle)) return true;
    if (of_client < next) next = of_client;
    if (next == UINT64_MAX) return false;
    uint64_t leap = next > now ? next - now : 0;
    if ((!world->calm || !idle) && leap > LEAP_MAX_MS) leap = 1 + below(world, LEAP_MAX_MS);
    else if (chance(world, 4)) leap = below(world, leap + 1);
    virtual_set(now + leap);
    return true;
}

static bool act(struct world *world, unsigned action) {
    switch (action) {
    case 0: return handler_visitor_moves(world->handler);
    case 1: return client_service_moves(world->client);
    case 2: return middle_moves_up(world->middle);
    case 3: return middle_moves_down(world->middle);
    case 4: return middle_takes_request(world->middle);
    case 5: return middle_answers(world->middle);
    case 6: return middle_attaches(world->middle) || middle_connects(world->middle);
    default: return chance(world, world->calm ? 20 : world->hurry) && time_passes(world, false);
    }
}

static void step(struct world *world) {
    if (!world->calm && chance(world, world->peace)) {
        if (chance(world, 12)) restart_client(world);
        else middle_breaks(world->middle);
    }
    unsigned first = (unsigned)below(world, ACTIONS), i = 0;
    if (first == world->slow && !world->calm && !chance(world, 8)) first++;
    while (i < ACTIONS && !act(world, (first + i) % ACTIONS)) i++;
    if (i == ACTIONS) time_passes(world, true);
    turn(world);
    handler_check(world->handler);
    world->steps++;
}

static bool is_over(const struct world *world) {
    for (size_t i = 0; i < world->count; i++)
        if (!world->requests[i].outcome) return false;
    return true;
}

static bool is_clean(const struct world *world) {
    return is_over(world) && handler_is_empty(world->handler) && client_is_idle(world->client) && middle_is_empty(world->middle);
}

/* --- how it ended --- */

static void judge(struct world *world, const struct request_plan *plan) {
    bool lost = plan->life_lost && (!plan->idempotent || plan->request_length > 0 || plan->outcome == OUTCOME_BROKEN);
    switch (plan->outcome) {
    case OUTCOME_NONE: wrong(world, "a visitor waits for ever"); break;
    case OUTCOME_COMPLETE:
    case OUTCOME_GONE: break;
    case OUTCOME_FAILED:
    case OUTCOME_BROKEN:
        if (!plan->fails && !lost) wrong(world, "a request failed though the client lived, or could have been done again");
        break;
    }
    if (plan->starts == 0 && plan->outcome == OUTCOME_COMPLETE) wrong(world, "a response to a request that was never made");
    if (plan->starts > 1 && !plan->life_lost) wrong(world, "it was started twice in one life");
}

static void show(const struct world *world) {
    static const char *const names[] = {"none", "complete", "failed", "broken", "gone"};
    for (size_t i = 0; i < world->count; i++) {
        const struct request_plan *plan = &world->requests[i];
        printf("request %zu: %s, body %zu%s, response %zu%s%s%s%s: %s %s, answered %zu, started %u times (life %u), heard from "
               "life %u%s\n",
               i, plan->idempotent ? "PUT" : "POST", plan->request_length, plan->known_length ? "" : " (chunked)",
               plan->response_length, plan->tells_length ? " (told)" : "", plan->answers_early ? ", early" : "",
               plan->fails ? ", fails" : "", plan->leaves ? ", leaves" : "", names[plan->outcome], plan->error, plan->answered,
               plan->starts, plan->started_in, plan->heard_from, plan->life_lost ? ", that life was lost" : "");
    }
    printf("life %u of the client%s, at %" PRIu64 " ms\n", world->life, client_is_idle(world->client) ? ", idle" : "",
           virtual_now());
    handler_show(world->handler);
    middle_show(world->middle);
}

static void run(struct world *world, uint64_t seed) {
    uint8_t *bytes = world->bytes;
    *world = (struct world){.random = seed * 0x9E3779B97F4A7C15u + 1, .life = 1, .bytes = bytes};
    world->count = 1 + (size_t)below(world, REQUESTS_MAX);
    for (size_t i = 0; i < world->count; i++) plan_request(world, i);
    world->peace = 5 + (unsigned)below(world, 60);
    world->slow = (unsigned)below(world, 2 * ACTIONS);
    world->hurry = 1 + (unsigned)below(world, 8);
    virtual_set(1000);
    world->middle = middle_new(world);
    world->handler = handler_start(world);
    world->client = client_start(world, world->life);
    while (!middle_attaches(world->middle)) middle_connects(world->middle);
    size_t wild = below(world, WILD_STEPS);
    while (world->steps < wild && virtual_now() < WILD_MS && !world->wrong && !is_over(world)) step(world);
    world->calm = true;
    middle_heals(world->middle);
    uint64_t healed = virtual_now(), served = 0;
    for (size_t limit = world->steps + CALM_STEPS; world->steps < limit && !world->wrong && !is_clean(world);) {
        if (!is_over(world)) served = virtual_now();
        step(world);
    }
    if (served > healed + SERVED_MS) wrong(world, "a visitor was served too late");
    for (size_t i = 0; i < world->count; i++) judge(world, &world->requests[i]);
    if (!is_clean(world)) wrong(world, "something is left behind");
    if (world->wrong) show(world);
}

static void finish(struct world *world) {
    client_kill(world->client);
    handler_stop(world->handler);
    middle_free(world->middle);
}

static void count(struct totals *totals, const struct world *world) {
    totals->requests += world->count;
    totals->steps += world->steps;
    totals->virtual_ms += virtual_now();
    for (size_t i = 0; i < world->count; i++) {
        totals->outcomes[world->requests[i].outcome]++;
        totals->again += world->requests[i].starts > 1;
    }
}

int main(int argc, char **argv) {
    static struct world world;
    struct totals totals = {0};
    uint64_t first = 1, runs = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0) first = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--count") == 0) runs = strtoull(argv[i + 1], NULL, 10);
    }
    if (!runs) runs = 1;
    world.random = 1;
    world.bytes = malloc(BODY_TABLE);
    if (!world.bytes) return 1;
    for (size_t i = 0; i < BODY_TABLE; i++) world.bytes[i] = (uint8_t)below(&world, 256);
    for (uint64_t seed = first; seed < first + runs; seed++) {
        run(&world, seed);
        if (world.wrong) {
            printf("seed %" PRIu64 ": %s (after %zu steps)\nsimulate --seed %" PRIu64 " shows it again\n", seed, world.wrong,
                   world.steps, seed);
            return 1;
        }
        count(&totals, &world);
        finish(&world);
    }
    printf("%" PRIu64 " schedules with %" PRIu64 " requests, %" PRIu64 " steps, %" PRIu64 " s of their time: %" PRIu64
           " completed, %" PRIu64 " failed and %" PRIu64
           " broke off (the local service did, or the client was started anew), %" PRIu64 " visitors left, %" PRIu64
           " dispatched again\n",
           runs, totals.requests, totals.steps, totals.virtual_ms / 1000, totals.outcomes[OUTCOME_COMPLETE],
           totals.outcomes[OUTCOME_FAILED], totals.outcomes[OUTCOME_BROKEN], totals.outcomes[OUTCOME_GONE], totals.again);
    free(world.bytes);
    return 0;
}
