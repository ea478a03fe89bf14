/* Doubly linked lists whose nodes live inside their owners: O(1) to join, to leave, to ask. */
#ifndef CLIENT_LIST_H
#define CLIENT_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* A list's head, or a member's place in it. Zeroed = in no list; a head is made with list_init. */
struct list {
    struct list *next, *previous;
};

/* The struct of type `type` whose member `member` is `node`. */
#define list_owner(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

static inline void list_init(struct list *head) {
    head->next = head->previous = head;
}

static inline bool list_empty(const struct list *head) {
    return head->next == head;
}

static inline bool list_joined(const struct list *node) {
    return node->next != NULL;
}

/* Does nothing when the node is in a list already: each node belongs to one list only. */
static inline void list_append(struct list *head, struct list *node) {
    if (list_joined(node)) return;
    node->next = head;
    node->previous = head->previous;
    head->previous->next = node;
    head->previous = node;
}

/* Does nothing when the node is in no list. */
static inline void list_leave(struct list *node) {
    if (!list_joined(node)) return;
    node->previous->next = node->next;
    node->next->previous = node->previous;
    node->next = node->previous = NULL;
}

#endif
