#include "path.h"

bool path_is_way(const struct path *path, const struct pg_envelope *from) {
    return path->known && path->way.session == from->session && pg_id_equal(&path->way.broker, &from->broker);
}

enum path_sender path_heard(struct path *path, const struct pg_envelope *from) {
    uint32_t life = pg_session_life(from->session);
    if (life == path->lost) return PATH_LOST;
    if (path->taker && life != path->taker) return PATH_FOREIGN;
    bool first = path->taker == 0;
    path->taker = life;
    if (path->known && pg_session_is_older(from->session, path->way.session)) return PATH_STALE;
    if (!first && pg_session_is_older(from->session, path->heard)) return PATH_STALE;
    path->heard = from->session;
    if (path_is_way(path, from)) return PATH_CURRENT;
    path->known = true;
    path->way = *from;
    return first ? PATH_CURRENT : PATH_CHANGED;
}

bool path_routed(struct path *path, const struct pg_envelope *to) {
    if (!path->known || path_is_way(path, to) || pg_session_is_older(to->session, path->way.session)) return false;
    path->way = *to;
    return true;
}

void path_adopt(struct path *path) {
    path->lost = path->taker;
    path->taker = pg_session_life(path->way.session);
    path->heard = path->way.session;
}

void path_lose(struct path *path) {
    *path = (struct path){.lost = path->taker};
}
