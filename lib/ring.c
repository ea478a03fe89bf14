#include "ring.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_SIZE = 4096 };

void pg_ring_init(struct pg_ring *ring, size_t max) {
    *ring = (struct pg_ring){.max = max};
}

void pg_ring_clear(struct pg_ring *ring) {
    free(ring->data);
    pg_ring_init(ring, ring->max);
}

size_t pg_ring_room(const struct pg_ring *ring) {
    return ring->max - ring->length;
}

static bool grow(struct pg_ring *ring, size_t needed) {
    size_t size = ring->size ? ring->size : FIRST_SIZE;
    while (size < needed) size *= 2;
    if (size > ring->max) size = ring->max;
    uint8_t *data = malloc(size);
    if (!data) return false;
    size_t first = 0;
    const uint8_t *piece = pg_ring_peek(ring, 0, &first);
    if (first) memcpy(data, piece, first);
    if (first < ring->length) memcpy(data + first, ring->data, ring->length - first);
    free(ring->data);
    ring->data = data;
    ring->size = size;
    ring->head = 0;
    return true;
}

bool pg_ring_append(struct pg_ring *ring, const void *bytes, size_t length) {
    if (length > pg_ring_room(ring)) return false;
    if (length == 0) return true;
    if (ring->length + length > ring->size && !grow(ring, ring->length + length)) return false;
    size_t at = (ring->head + ring->length) % ring->size;
    size_t first = ring->size - at < length ? ring->size - at : length;
    memcpy(ring->data + at, bytes, first);
    memcpy(ring->data, (const uint8_t *)bytes + first, length - first);
    ring->length += length;
    return true;
}

const uint8_t *pg_ring_peek(const struct pg_ring *ring, size_t skip, size_t *length) {
    if (skip >= ring->length) {
        *length = 0;
        return NULL;
    }
    size_t at = (ring->head + skip) % ring->size;
    size_t held = ring->length - skip;
    *length = ring->size - at < held ? ring->size - at : held;
    return ring->data + at;
}

void pg_ring_drop(struct pg_ring *ring, size_t length) {
    if (length >= ring->length) {
        pg_ring_clear(ring); /* an exchange that waits, or is only remembered, holds no memory */
        return;
    }
    ring->head = (ring->head + length) % ring->size;
    ring->length -= length;
}
