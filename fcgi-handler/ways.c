#include "ways.h"

#include <string.h>

/* The last bytes of a UUID: its random part, also of those that begin with the time (RFC 9562 5.7). */
static size_t place(const struct pg_id *tunnel) {
    return ((size_t)tunnel->bytes[PG_ID_SIZE - 2] << 8 | tunnel->bytes[PG_ID_SIZE - 1]) % WAYS_MAX;
}

static bool is_of(const struct way *way, const struct pg_id *tunnel) {
    return pg_id_equal(&way->to.tunnel, tunnel) && !pg_id_is_zero(&way->to.broker);
}

static bool is_fresh(const struct way *way, uint64_t now_ms) {
    return now_ms - way->heard_ms < WAYS_FRESH_MS;
}

void ways_heard(struct ways *ways, const struct pg_envelope *from, uint64_t now_ms) {
    struct way *way = &ways->table[place(&from->tunnel)];
    bool known = is_of(way, &from->tunnel);
    if (known && is_fresh(way, now_ms) && pg_session_is_older(from->session, way->to.session)) return;
    way->to = *from;
    way->heard_ms = now_ms;
    if (!known) way->closed_until_ms = 0;
}

const struct pg_envelope *ways_find(const struct ways *ways, const struct pg_id *tunnel, uint64_t now_ms) {
    const struct way *way = &ways->table[place(tunnel)];
    bool leads = is_of(way, tunnel) && is_fresh(way, now_ms) && now_ms >= way->closed_until_ms;
    return leads ? &way->to : NULL;
}

void ways_close(struct ways *ways, const struct pg_id *tunnel, uint64_t session, uint64_t now_ms) {
    struct way *way = &ways->table[place(tunnel)];
    if (is_of(way, tunnel) && way->to.session == session) way->closed_until_ms = now_ms + WAYS_CLOSED_MS;
}

void ways_leave(struct ways *ways, const struct pg_id *tunnel, uint64_t session) {
    struct way *way = &ways->table[place(tunnel)];
    if (is_of(way, tunnel) && way->to.session != session) memset(way, 0, sizeof *way);
}

void ways_forget(struct ways *ways) {
    memset(ways, 0, sizeof *ways);
}
