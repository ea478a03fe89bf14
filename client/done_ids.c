#include "done_ids.h"

#include "bytes.h"

#include <stdlib.h>
#include <string.h>

/* A ring of ids, each in the chain of its bucket. Places are counted from 1; 0 is the end of a chain. */
struct done_ids_table {
    struct pg_id ids[DONE_IDS_MAX];
    uint16_t next[DONE_IDS_MAX];
    uint16_t heads[DONE_IDS_MAX];
    size_t count, oldest;
};

/* Ids are random (RFC 9562 4.4): any of their bits will do. */
static uint16_t *head_of(struct done_ids_table *table, const struct pg_id *id) {
    return &table->heads[pg_get_u32(id->bytes) % DONE_IDS_MAX];
}

static void forget_oldest(struct done_ids_table *table) {
    size_t place = table->oldest + 1;
    uint16_t *link = head_of(table, &table->ids[table->oldest]);
    while (*link != place) link = &table->next[*link - 1];
    *link = table->next[table->oldest];
    table->oldest = (table->oldest + 1) % DONE_IDS_MAX;
    table->count--;
}

void done_ids_add(struct done_ids *done, const struct pg_id *id) {
    struct done_ids_table *table = done->table;
    if (!table) {
        table = malloc(sizeof *table);
        if (!table) return;
        memset(table->heads, 0, sizeof table->heads);
        table->count = table->oldest = 0;
        done->table = table;
    }
    if (table->count == DONE_IDS_MAX) forget_oldest(table);
    size_t at = (table->oldest + table->count++) % DONE_IDS_MAX;
    uint16_t *head = head_of(table, id);
    table->ids[at] = *id;
    table->next[at] = *head;
    *head = (uint16_t)(at + 1);
}

bool done_ids_has(const struct done_ids *done, const struct pg_id *id) {
    if (!done->table) return false;
    for (uint16_t place = *head_of(done->table, id); place; place = done->table->next[place - 1])
        if (pg_id_equal(&done->table->ids[place - 1], id)) return true;
    return false;
}

void done_ids_free(struct done_ids *done) {
    free(done->table);
    done->table = NULL;
}
