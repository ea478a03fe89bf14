/* A byte queue with a hard maximum from birth. It takes memory only while it holds bytes, growing by doubling. */
#ifndef PG_RING_H
#define PG_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pg_ring {
    uint8_t *data; /* NULL while empty and never grown */
    size_t size;   /* allocated */
    size_t head;   /* index of the first byte held */
    size_t length; /* bytes held */
    size_t max;
};

/* An empty ring that will never hold more than `max` bytes. Allocates nothing. */
void pg_ring_init(struct pg_ring *ring, size_t max);

/* Frees what it holds; the ring may be used again. */
void pg_ring_clear(struct pg_ring *ring);

size_t pg_ring_room(const struct pg_ring *ring);

/* Appends all `length` bytes, or nothing and returns false: no room, or no memory. */
bool pg_ring_append(struct pg_ring *ring, const void *bytes, size_t length);

/* The longest run of bytes in one piece that begins `skip` bytes after the first; *length is 0 when there are none.
 * Valid until the ring is changed. */
const uint8_t *pg_ring_peek(const struct pg_ring *ring, size_t skip, size_t *length);

/* Drops the first `length` bytes, at most what is held. */
void pg_ring_drop(struct pg_ring *ring, size_t length);

#endif
