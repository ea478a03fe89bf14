/* A HEAD from the client as the CGI response head for the front (RFC 3875 6.2), after the rules of DESIGN section 6. The client
 * is not trusted with them. Pure. */
#ifndef PG_RESPONSE_H
#define PG_RESPONSE_H

#include "text.h"
#include "wire.h"

struct response {
    unsigned status;
    bool no_body;            /* HEAD, 204, 304: body bytes are not passed on */
    uint64_t content_length; /* of the body to come; PG_LENGTH_UNKNOWN */
};

/* Appends status and fields, and the empty line. `whole`: the body is all in this HEAD, so its length is known. `is_head`: it
 * answers a HEAD. NULL, or what is wrong with the response (a constant sentence for the visitor). */
const char *response_write_head(struct pg_text *to, const struct pg_head *head, bool whole, bool is_head,
                                struct response *response);

#endif
