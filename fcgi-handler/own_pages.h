/* What the handler answers itself: health, readiness and metrics; to visits, and over HTTP (admin.h). */
#ifndef PG_OWN_PAGES_H
#define PG_OWN_PAGES_H

#include "handler.h"

enum { OWN_PAGE_MAX = 16384 };

struct own_page {
    unsigned status;
    const char *type;
    const char *error;   /* X-Pipegate-Error, or NULL */
    struct pg_text text; /* the body: the caller has given it room, OWN_PAGE_MAX bytes */
};

void own_page_write(struct own_page *page, const struct handler *handler, enum own_page_kind kind);

/* Answers a visit with the page. */
void own_page_answer(struct handler *handler, struct visit *visit, enum own_page_kind kind);

#endif
