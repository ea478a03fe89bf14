#include "bus_keys.h"

#include <stdio.h>

static struct pg_key make(const char *prefix, const char *id) {
    struct pg_key key;
    key.length = (size_t)snprintf(key.text, sizeof key.text, "%s%s", prefix, id);
    return key;
}

struct pg_key pg_key_requests(const struct pg_id *tunnel) {
    char id[PG_UUID_TEXT + 1];
    return make("pg:{0}:requests:", pg_id_uuid(tunnel, id));
}

struct pg_key pg_key_route(const struct pg_id *tunnel) {
    char id[PG_UUID_TEXT + 1];
    return make("pg:{0}:route:", pg_id_uuid(tunnel, id));
}

struct pg_key pg_key_inbox(const struct pg_id *process) {
    char id[PG_ID_HEX + 1];
    return make(PG_KEY_INBOX, pg_id_hex(process, id));
}

struct pg_key pg_key_alive(const struct pg_id *process) {
    char id[PG_ID_HEX + 1];
    return make(PG_KEY_ALIVE, pg_id_hex(process, id));
}
