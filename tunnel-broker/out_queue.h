/* What waits to be written to a client: whole WebSocket frames (RFC 6455 5.2, server to client: never masked), packed
 * into chunks, so that what one loop turn says to a client leaves in one write. */
#ifndef BROKER_OUT_QUEUE_H
#define BROKER_OUT_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum out_opcode { OUT_BINARY = 0x2, OUT_CLOSE = 0x8, OUT_PING = 0x9 };

enum { OUT_CHUNK_MAX = 65536 }; /* bytes of a chunk: a frame of PG_FRAME_MAX with its WebSocket header fits */

struct out_chunk;

/* Zero-initialise. Takes memory only while it holds something. */
struct out_queue {
    struct out_chunk *chunks; /* first first */
    size_t bytes;             /* in all of them */
};

/* Appends one WebSocket message of `length` bytes, which are copied. False, and nothing appended, when it does not fit
 * into a chunk or memory is out. */
bool out_queue_add(struct out_queue *queue, enum out_opcode opcode, const void *bytes, size_t length);

/* The first chunk: whole frames. NULL when the queue is empty. Valid until the queue is changed. */
uint8_t *out_queue_first(const struct out_queue *queue, size_t *length);
void out_queue_drop_first(struct out_queue *queue);

void out_queue_clear(struct out_queue *queue);

#endif
