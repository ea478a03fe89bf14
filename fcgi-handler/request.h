/* A FastCGI request's parameters (RFC 3875 and what Caddy, Apache and nginx make of it) as the request that goes through the
 * tunnel: the tunnel's id, the raw target behind it, and the fields after the rules of DESIGN section 6. Pure. */
#ifndef PG_REQUEST_H
#define PG_REQUEST_H

#include "front.h"
#include "wire.h"

enum { REQUEST_FIELDS_MAX = 512, REQUEST_TEXT_MAX = 2 * PG_HEAD_MAX };

enum request_kind {
    REQUEST_TUNNEL,
    REQUEST_OWN_PAGE, /* <prefix>/-/healthz ...: see `page` */
    REQUEST_NO_TUNNEL /* the path names no tunnel */
};

/* What the handler answers itself, under the prefix and at --admin. */
enum own_page_kind {
    OWN_PAGE_HEALTH,  /* /-/healthz: 200 while Redis answers, else 503 */
    OWN_PAGE_READY,   /* /-/readyz: the same, but 503 too once the handler is about to end */
    OWN_PAGE_METRICS, /* /-/metrics: Prometheus text */
    OWN_PAGE_NONE     /* 404 */
};

/* The page at a path without the tunnels' prefix. */
enum own_page_kind own_page_find(const char *path);

/* Scratch space and result; one per handler, filled anew by each request_read. */
struct request {
    enum request_kind kind;
    enum own_page_kind page;
    struct pg_id tunnel;
    struct pg_open open; /* method, target, visitor, body length; its texts are in the parameters or in `text` */
    struct pg_field fields[REQUEST_FIELDS_MAX];
    size_t field_count;
    bool has_body;           /* a body may follow: a Content-Length, or a transfer coding */
    bool chunked;            /* its length is not known */
    bool wants_html;         /* Accept names text/html */
    bool head_ends_body;     /* nginx: once a response has begun it passes on no more of the request: see exchange_response.c */
    enum visit_break breaks; /* how this front must be told that a response without a length breaks off */
    const char *wrong;       /* why it is refused */
    char text[REQUEST_TEXT_MAX];
    size_t text_length;
};

enum request_result {
    REQUEST_FINE,
    REQUEST_BAD,      /* 400, see `wrong` */
    REQUEST_TOO_LARGE /* 431: the head is larger than head_max */
};

/* Reads the parameters ("NAME=VALUE", NULL-terminated), which must outlive the result. `exchange` becomes
 * X-Pipegate-Correlation-Id. `head_max` is at most PG_HEAD_MAX and counts the head as it stands in an OPEN. wants_html and
 * open.method are set whatever the result. */
enum request_result request_read(struct request *request, char **params, const struct pg_id *exchange, size_t head_max);

#endif
