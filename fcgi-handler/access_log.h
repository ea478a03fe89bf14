/* One line for each request that is over (--log-requests). The web server has an access log too; this one has the exchange's id, which
 * the client's and the local service's logs have, and what became of the request. */
#ifndef PG_ACCESS_LOG_H
#define PG_ACCESS_LOG_H

#include "log.h"
#include "request.h"

enum { ACCESS_METHOD_MAX = 24, ACCESS_VISITOR_MAX = 48 /* an IPv6 address with its zone */ };

/* What must be kept of a request for its line; longer texts are cut. */
struct access {
    char method[ACCESS_METHOD_MAX];
    char visitor[ACCESS_VISITOR_MAX];
};

void access_remember(struct access *access, const struct request *request);

struct access_line {
    const struct pg_id *tunnel;   /* NULL: it named none */
    const struct pg_id *exchange; /* NULL: it never became one */
    const struct access *access;
    const char *outcome;                    /* as in the metric pipegate_handler_requests_total */
    unsigned status;                        /* what the visitor got; 0: nothing */
    uint64_t request_bytes, response_bytes; /* of the bodies */
    uint64_t us;                            /* since its head came */
};

void access_write(const struct pg_log *log, const struct access_line *line);

#endif
