/* What goes to stdout: the public URL, and a line for each request. Lines are gathered for a moment and written
 * together; a reader that stalls costs lines, which are counted, and never holds up the loop. */
#ifndef CLIENT_REQUEST_LOG_H
#define CLIENT_REQUEST_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct request_log;

struct request_log_entry {
    const char *label; /* method and target as they came: what is not printable comes out as '?' */
    unsigned status;   /* what the visitor got; 0 = nothing */
    uint64_t us;
    uint64_t bytes;   /* of the response's body */
    const char *note; /* what went wrong, or NULL */
};

/* `quiet`: no line for requests. NULL: no memory. */
struct request_log *request_log_new(uv_loop_t *loop, bool quiet);

/* "14:03:22 GET /path 200 12 ms 35 B". */
void request_log_add(struct request_log *log, const struct request_log_entry *entry);

/* A line of its own, also when quiet. Without a line end. */
void request_log_say(struct request_log *log, const char *line);

/* Writes what can be written without waiting; frees it from the loop. */
void request_log_close(struct request_log *log);

#endif
