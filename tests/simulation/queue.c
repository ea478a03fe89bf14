#include "queue.h"

#include <stdlib.h>
#include <string.h>

bool queue_put(struct queue *queue, enum kind kind, const uint8_t *head, size_t head_length, const uint8_t *body,
               size_t body_length) {
    if (queue->count == QUEUE_MAX) return false;
    struct message *message = &queue->messages[(queue->first + queue->count++) % QUEUE_MAX];
    *message = (struct message){.kind = kind, .bytes = malloc(head_length + body_length + 1), .length = head_length + body_length};
    if (!message->bytes) abort();
    if (head_length) memcpy(message->bytes, head, head_length);
    if (body_length) memcpy(message->bytes + head_length, body, body_length);
    return true;
}

bool queue_take(struct queue *queue, struct message *message) {
    if (queue->count == 0) return false;
    *message = queue->messages[queue->first];
    queue->first = (queue->first + 1) % QUEUE_MAX;
    queue->count--;
    return true;
}

void queue_clear(struct queue *queue) {
    struct message message;
    while (queue_take(queue, &message)) free(message.bytes);
}

void queue_lose_some(struct world *world, struct queue *queue) {
    size_t first = (size_t)below(world, queue->count + 1), stop = first + (size_t)below(world, queue->count - first + 1);
    struct message message;
    for (size_t i = 0, count = queue->count; i < count && queue_take(queue, &message); i++) {
        if (i < first || i >= stop || message.kind != FRAME) queue->messages[(queue->first + queue->count++) % QUEUE_MAX] = message;
        else free(message.bytes);
    }
}

const struct message *queue_newest(const struct queue *queue) {
    return &queue->messages[(queue->first + queue->count - 1) % QUEUE_MAX];
}
