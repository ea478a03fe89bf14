/* The head of the local service's response, from the lines that libcurl passes on. Pure but for its memory. */
#ifndef CLIENT_RESPONSE_HEAD_H
#define CLIENT_RESPONSE_HEAD_H

#include "wire.h"

/* Zeroed = empty. */
struct response_head {
    uint8_t *bytes; /* the fields, encoded as in WIRE.md; owned */
    size_t length, room;
    size_t last; /* where the last field begins: a folded line goes on with it */
    unsigned status;
    unsigned count;
    enum { RESPONSE_HEAD_STATUS, RESPONSE_HEAD_FIELDS, RESPONSE_HEAD_DONE } awaits; /* DONE: what comes now are trailers */
};

enum response_head_result {
    RESPONSE_HEAD_MORE,
    RESPONSE_HEAD_COMPLETE, /* of the final response: 1xx are skipped */
    RESPONSE_HEAD_BAD       /* *error is a constant phrase that goes on "the local service ..." */
};

/* One line with its line end. */
enum response_head_result response_head_line(struct response_head *head, const char *line, size_t length, const char **error);

/* The complete head's fields as they go on: into `fields` (room for PG_RESPONSE_FIELDS_MAX), without hop-by-hop ones;
 * Content-Length at most once, and not when the length came from chunks. *body_length is its value or
 * PG_LENGTH_UNKNOWN. They point into the head. NULL, or what is wrong, as above. */
const char *response_head_fields(const struct response_head *head, struct pg_field *fields, size_t *count, uint64_t *body_length);

/* Empty again; the memory is kept up to a bound. */
void response_head_reset(struct response_head *head);
void response_head_free(struct response_head *head);

#endif
