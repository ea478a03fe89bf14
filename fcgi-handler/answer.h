/* The handler's own answers: the table of DESIGN section 6. Each names itself with X-Pipegate-Error. */
#ifndef PG_ANSWER_H
#define PG_ANSWER_H

#include "text.h"

enum answer {
    ANSWER_NO_TUNNEL,        /* 404 */
    ANSWER_CLIENT_AWAY,      /* 503 */
    ANSWER_OVERLOADED,       /* 503 */
    ANSWER_HEADER_TOO_LARGE, /* 431 */
    ANSWER_BODY_TOO_LARGE,   /* 413 */
    ANSWER_BAD_REQUEST,      /* 400 */
    ANSWER_LOCAL_SERVICE,    /* 502 */
    ANSWER_TIMEOUT,          /* 504 */
    ANSWER_BUS_UNAVAILABLE,  /* 503 */
    ANSWER_CLIENT_LOST,      /* 502 */
    ANSWERS
};

/* The value of X-Pipegate-Error, also the label in the metrics. */
const char *answer_code(enum answer answer);

unsigned answer_status(enum answer answer);

/* Writes a CGI response: head and page. `detail` (`detail_length` bytes from anywhere, escaped here) says what was seen; it may
 * be empty. `html`: for a browser. `head_only`: for HEAD, with the Content-Length a GET would get. */
void answer_write(struct pg_text *to, enum answer answer, const char *detail, size_t detail_length, bool html, bool head_only);

/* Writes a CGI response with this plain text as its body. `error` is the value of X-Pipegate-Error, or NULL. */
void answer_write_plain(struct pg_text *to, unsigned status, const char *error, const char *type, const char *body, size_t length,
                        bool head_only);

#endif
