/* All exchanges, by id: the live ones, the finished ones that are kept as long as their handler may ask for them, and the mere ids of
 * those that are over, so that none is started twice. Bounded in number, in bytes and in time; every operation is O(1), but for
 * expiring. */
#ifndef CLIENT_EXCHANGE_TABLE_H
#define CLIENT_EXCHANGE_TABLE_H

#include "done_ids.h"
#include "exchange.h"

enum {
    EXCHANGE_FINISHED_MAX = 65536,
    EXCHANGE_FINISHED_MS = 5 * 60 * 1000,
    EXCHANGE_KEPT_MAX = 64 * 1024 * 1024 /* response bytes kept by finished exchanges; beyond it the oldest give up theirs */
};

struct exchange_table {
    struct exchange *by_id;
    struct list live;     /* by `order` */
    struct list finished; /* by `order`, oldest first */
    struct list keeping;
    size_t live_count, finished_count;
    size_t wide_count; /* at most PG_WIDE_MAX */
    size_t kept;
    struct done_ids done; /* forgotten ones */
    struct done_ids
        refused; /* those for which there was no room: a copy must not be begun when there is, after the visitor's 503 */
};

void exchange_table_init(struct exchange_table *table);

/* Forgets all, and frees what it holds. */
void exchange_table_free(struct exchange_table *table);

/* NULL: unknown. */
struct exchange *exchange_table_find(const struct exchange_table *table, const struct pg_id *id);

/* Adds a new one to the live ones; it is the table's to free from now on. False: no memory, and it is still the
 * caller's. */
bool exchange_table_add(struct exchange_table *table, struct exchange *exchange);

/* Live -> finished. May free others that are finished. */
void exchange_table_finish(struct exchange_table *table, struct exchange *exchange, uint64_t now_ms);

/* Widens it, unless too many are wide. */
void exchange_table_widen(struct exchange_table *table, struct exchange *exchange);

/* It keeps less than before. */
void exchange_table_recount(struct exchange_table *table, struct exchange *exchange);

/* Begins none of it, now and later. */
void exchange_table_refuse(struct exchange_table *table, const struct pg_id *id);
bool exchange_table_is_refused(const struct exchange_table *table, const struct pg_id *id);

/* Was it here, and is over? */
bool exchange_table_is_done(const struct exchange_table *table, const struct pg_id *id);

/* It is over: leaves every list it is in and is freed; only its id stays. Its local request is gone already. */
void exchange_table_forget(struct exchange_table *table, struct exchange *exchange);

/* Forgets the finished ones that are too old. Returns when the next will be, 0 = there is none. */
uint64_t exchange_table_expire(struct exchange_table *table, uint64_t now_ms);

#endif
