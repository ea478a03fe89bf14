/* Messages under way, in order, at most QUEUE_MAX. Zero-initialise. */
#ifndef SIMULATION_QUEUE_H
#define SIMULATION_QUEUE_H

#include "world.h"

enum { QUEUE_MAX = 128 };

/* What is no frame is said by a broker itself, to its client. */
enum kind { FRAME, ATTACHED, RESYNC };

struct message {
    enum kind kind;
    uint8_t *bytes; /* malloc'd: whoever takes the message frees them */
    size_t length;
};

struct queue {
    struct message messages[QUEUE_MAX];
    size_t first, count;
};

/* Copies the two pieces in (either may be empty). False: it is full, and the message is lost, as a bounded inbox loses. */
bool queue_put(struct queue *queue, enum kind kind, const uint8_t *head, size_t head_length, const uint8_t *body,
               size_t body_length);

/* Takes the oldest out. False: there is none. */
bool queue_take(struct queue *queue, struct message *message);

/* The one that was put in last, of a queue that is not empty. */
const struct message *queue_newest(const struct queue *queue);

void queue_clear(struct queue *queue);

/* Frames that follow each other are lost. */
void queue_lose_some(struct world *world, struct queue *queue);

#endif
