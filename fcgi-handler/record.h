/* FastCGI records as far as the handler looks at them itself (FastCGI Specification 1.0, section 3.3): to see whether a request
 * is in the kernel's buffer before libfcgi, which blocks, is asked to read it. Pure. */
#ifndef PG_RECORD_H
#define PG_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RECORD_HEADER = 8,
    RECORD_CONTENT_MAX = 65528, /* the largest multiple of 8 */
    RECORD_STDOUT = 6,
    RECORD_END_SIZE = 24
};

enum request_presence {
    REQUEST_PARTIAL,  /* the head is not all here */
    REQUEST_HEAD,     /* the head is all here, the body is not */
    REQUEST_WHOLE,    /* head and body are here to the last record */
    REQUEST_MALFORMED /* not a request as web servers send it */
};

/* What is in `length` bytes from the start of a request. */
enum request_presence record_presence(const uint8_t *bytes, size_t length);

/* Is this the header of a record of this request's body? *length = how much content it has; 0 is the end of the body. (libfcgi passes
 * over the records of other requests, and waits for the next one.) */
bool record_is_stdin(const uint8_t header[RECORD_HEADER], uint16_t request, size_t *length);

/* Is it the one that ends the body, without padding? */
bool record_is_empty_stdin(const uint8_t header[RECORD_HEADER], uint16_t request);

/* What is left of a request whose response is out, on a connection that the front keeps: it is passed over record by record and
 * not a byte further, since the next request may stand behind it already. Zero-initialise, or say where in a record it begins. */
struct record_skip {
    size_t left;                   /* bytes to come of the record at hand, its padding included */
    bool last;                     /* it is the one that ends the request */
    uint8_t header[RECORD_HEADER]; /* of the next one: its first bytes ... */
    size_t header_length;          /* ... as many as are here */
};

enum record_skipped {
    RECORD_SKIP_MORE, /* there is more to come */
    RECORD_SKIP_OVER, /* the request has ended, or the next one begins at `used` */
    RECORD_SKIP_BAD   /* neither */
};

/* Passes over `length` bytes that follow those of the call before; *used = how many of them are of the request. With MORE fewer than
 * RECORD_HEADER may be left: give them again with more behind them, or keep them with record_skip_keep. */
enum record_skipped record_skip(struct record_skip *skip, const uint8_t *bytes, size_t length, size_t *used);

/* Keeps the first `length` (fewer than RECORD_HEADER) bytes of a header, which are certain to be the request's own. */
void record_skip_keep(struct record_skip *skip, const uint8_t *bytes, size_t length);

/* Writes the two records that end a response: of its output, and of the request (status 0, complete). */
void record_put_end(uint8_t to[RECORD_END_SIZE], uint16_t request);

/* Writes the header of a record without padding. */
void record_put(uint8_t to[RECORD_HEADER], uint8_t type, uint16_t request, size_t length);

#endif
