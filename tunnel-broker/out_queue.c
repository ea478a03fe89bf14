#include "out_queue.h"

#include "bytes.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

enum { FIN = 0x80, LENGTH_16 = 126, HEADER_MAX = 4, CHUNK_FIRST = 2048 };

struct out_chunk {
    struct out_chunk *prev, *next;
    size_t length, size;
    uint8_t bytes[];
};

/* Small at first: most of the time one frame waits for the end of the loop turn. Large once frames pile up. */
static struct out_chunk *new_chunk(struct out_queue *queue, size_t needed) {
    size_t size = queue->chunks ? OUT_CHUNK_MAX : CHUNK_FIRST;
    if (size < needed) size = needed;
    struct out_chunk *chunk = malloc(sizeof *chunk + size);
    if (!chunk) return NULL;
    chunk->length = 0;
    chunk->size = size;
    DL_APPEND(queue->chunks, chunk);
    return chunk;
}

bool out_queue_add(struct out_queue *queue, enum out_opcode opcode, const void *bytes, size_t length) {
    size_t needed = HEADER_MAX + length;
    struct out_chunk *chunk = queue->chunks ? queue->chunks->prev : NULL; /* utlist: head's prev = tail */
    if (needed > OUT_CHUNK_MAX) return false;
    if (!chunk || chunk->size - chunk->length < needed) chunk = new_chunk(queue, needed);
    if (!chunk) return false;
    uint8_t *at = chunk->bytes + chunk->length;
    *at++ = (uint8_t)(FIN | opcode);
    if (length < LENGTH_16) {
        *at++ = (uint8_t)length;
    } else {
        *at++ = LENGTH_16;
        pg_put_u16(at, (uint16_t)length);
        at += 2;
    }
    if (length) memcpy(at, bytes, length);
    size_t written = (size_t)(at - chunk->bytes) - chunk->length + length;
    chunk->length += written;
    queue->bytes += written;
    return true;
}

uint8_t *out_queue_first(const struct out_queue *queue, size_t *length) {
    if (!queue->chunks) return NULL;
    *length = queue->chunks->length;
    return queue->chunks->bytes;
}

void out_queue_drop_first(struct out_queue *queue) {
    struct out_chunk *chunk = queue->chunks;
    queue->bytes -= chunk->length;
    DL_DELETE(queue->chunks, chunk);
    free(chunk);
}

void out_queue_clear(struct out_queue *queue) {
    while (queue->chunks) out_queue_drop_first(queue);
}
