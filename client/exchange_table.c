#include "exchange_table.h"

#include <stdlib.h>

static struct exchange *oldest(const struct exchange_table *table) {
    return list_empty(&table->finished) ? NULL : list_owner(table->finished.next, struct exchange, order);
}

void exchange_table_init(struct exchange_table *table) {
    *table = (struct exchange_table){0};
    list_init(&table->live);
    list_init(&table->finished);
    list_init(&table->keeping);
}

void exchange_table_free(struct exchange_table *table) {
    while (table->by_id) exchange_table_forget(table, table->by_id);
    done_ids_free(&table->done);
    done_ids_free(&table->refused);
}

struct exchange *exchange_table_find(const struct exchange_table *table, const struct pg_id *id) {
    struct exchange *found;
    HASH_FIND(hh, table->by_id, id, sizeof *id, found);
    return found;
}

bool exchange_table_add(struct exchange_table *table, struct exchange *exchange) {
    HASH_ADD(hh, table->by_id, id, sizeof exchange->id, exchange);
    if (!exchange->hh.tbl) return false; /* HASH_NONFATAL_OOM */
    list_append(&table->live, &exchange->order);
    table->live_count++;
    return true;
}

void exchange_table_recount(struct exchange_table *table, struct exchange *exchange) {
    size_t kept = exchange_kept(exchange);
    table->kept = table->kept - exchange->kept_counted + kept;
    exchange->kept_counted = kept;
    if (kept) list_append(&table->keeping, &exchange->keeping);
    else list_leave(&exchange->keeping);
}

void exchange_table_finish(struct exchange_table *table, struct exchange *exchange, uint64_t now_ms) {
    exchange->state = EXCHANGE_FINISHED;
    exchange->ended_ms = now_ms;
    list_leave(&exchange->order);
    list_append(&table->finished, &exchange->order);
    table->live_count--;
    table->finished_count++;
    exchange_table_recount(table, exchange);
    while (table->kept > EXCHANGE_KEPT_MAX) {
        struct exchange *first = list_owner(table->keeping.next, struct exchange, keeping);
        exchange_drop_kept(first);
        exchange_table_recount(table, first);
    }
    if (table->finished_count > EXCHANGE_FINISHED_MAX) exchange_table_forget(table, oldest(table));
}

void exchange_table_widen(struct exchange_table *table, struct exchange *exchange) {
    if (exchange_is_wide(exchange) || table->wide_count >= PG_WIDE_MAX) return;
    table->wide_count++;
    exchange_widen(exchange);
}

void exchange_table_forget(struct exchange_table *table, struct exchange *exchange) {
    if (exchange->state == EXCHANGE_FINISHED) table->finished_count--;
    else table->live_count--;
    table->kept -= exchange->kept_counted;
    if (exchange_is_wide(exchange)) table->wide_count--;
    HASH_DEL(table->by_id, exchange);
    list_leave(&exchange->order);
    list_leave(&exchange->keeping);
    list_leave(&exchange->sending);
    list_leave(&exchange->owing);
    list_leave(&exchange->unanswered);
    done_ids_add(&table->done, &exchange->id);
    exchange_free(exchange);
}

void exchange_table_refuse(struct exchange_table *table, const struct pg_id *id) {
    if (!exchange_table_is_refused(table, id)) done_ids_add(&table->refused, id);
}

bool exchange_table_is_refused(const struct exchange_table *table, const struct pg_id *id) {
    return done_ids_has(&table->refused, id);
}

bool exchange_table_is_done(const struct exchange_table *table, const struct pg_id *id) {
    return done_ids_has(&table->done, id);
}

uint64_t exchange_table_expire(struct exchange_table *table, uint64_t now_ms) {
    struct exchange *exchange;
    while ((exchange = oldest(table)) && exchange->ended_ms + EXCHANGE_FINISHED_MS <= now_ms)
        exchange_table_forget(table, exchange);
    return exchange ? exchange->ended_ms + EXCHANGE_FINISHED_MS : 0;
}
