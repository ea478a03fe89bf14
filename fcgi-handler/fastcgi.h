/* One FastCGI request, by libfcgi. These are the only calls into that library. Which of them may block is said of each; the
 * front (front.c) calls those on the loop only when they cannot, else on a thread of the pool. */
#ifndef PG_FASTCGI_H
#define PG_FASTCGI_H

#include "record.h"

struct fastcgi;

/* Initialises libfcgi and tries on a socket pair whether its streams are laid out as is expected here. NULL, or what is
 * wrong. Install the program's signal handlers before: libfcgi takes those that are at their default. */
const char *fastcgi_initialise(void);

/* Reads the head of a request from the connection. Blocks until it is in. On failure NULL, and `fd` is closed; else `fd` stays
 * the caller's. Free with fastcgi_free. */
struct fastcgi *fastcgi_accept(int fd);

void fastcgi_free(struct fastcgi *request);

char **fastcgi_params(const struct fastcgi *request);
uint16_t fastcgi_id(const struct fastcgi *request);

/* Does the front want to use the connection again? */
bool fastcgi_keeps(const struct fastcgi *request);

/* Would fastcgi_read find a body byte or the end in what libfcgi has read already and what lies in the kernel's buffer? True
 * too when only a record's header is there: its content is on the way. */
bool fastcgi_can_read(const struct fastcgi *request);

/* With nothing of the body read so far: is the record that ends the (empty) body here, so that reading cannot block? */
bool fastcgi_end_is_next(const struct fastcgi *request);

enum fastcgi_body { FASTCGI_MORE, FASTCGI_END, FASTCGI_BROKEN };

/* Reads 1 to `max` body bytes; 0 only with END or BROKEN. Blocks while there are none at all, never for more than the first. */
size_t fastcgi_read(struct fastcgi *request, uint8_t *to, size_t max, enum fastcgi_body *state);

/* The same without blocking: what is here of the body, at most `max` bytes. 0 with MORE: nothing is, or it takes fastcgi_read. Large
 * records are read into `to` past libfcgi, which reads 8 KiB at a time. */
size_t fastcgi_read_ready(struct fastcgi *request, uint8_t *to, size_t max, enum fastcgi_body *state);

/* Where the request ends: *skip goes on where libfcgi has read to, and what this returns is true of that place. Reads nothing, and
 * libfcgi must read nothing after this. Call it while no more than the request can have come: before the end of the response is out,
 * or on what libfcgi read by then. */
enum record_skipped fastcgi_skip(const struct fastcgi *request, struct record_skip *skip);

/* Holds at most FASTCGI_ANSWER_MAX bytes of output until fastcgi_end. */
void fastcgi_put(struct fastcgi *request, const char *bytes, size_t length);
enum { FASTCGI_ANSWER_MAX = 8000 };

/* Writes what is held and the end of the response, in one write(2). False when the front is gone. Blocks when the send buffer is full:
 * only for a connection whose earlier output has all been read. */
bool fastcgi_end(struct fastcgi *request);

#endif
