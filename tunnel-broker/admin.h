/* What the admin listener serves: health and metrics. */
#ifndef BROKER_ADMIN_H
#define BROKER_ADMIN_H

#include "websocket.h"

/* The websocket's on_admin; `owner` is the broker. */
void admin_answer(void *owner, const char *path, struct websocket_answer *answer);

#endif
