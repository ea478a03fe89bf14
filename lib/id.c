#include "id.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* Where the dashes of a UUID stand, and the first digit of each byte. */
static const uint8_t digit_at[PG_ID_SIZE] = {0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34};
static const uint8_t dash_at[4] = {8, 13, 18, 23};

static void fill(struct pg_id *ids, size_t size) {
    if (getrandom(ids, size, 0) != (ssize_t)size) abort();
}

static struct pg_id as_uuid(struct pg_id id) {
    id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0f) | 0x40); /* RFC 9562 5.4: version 4 */
    id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3f) | 0x80); /* RFC 9562 4.1: variant */
    return id;
}

struct pg_id pg_id_random(void) {
    struct pg_id id;
    fill(&id, sizeof id);
    return as_uuid(id);
}

struct pg_id pg_id_pool_take(struct pg_id_pool *pool) {
    if (pool->left == 0) {
        fill(pool->ids, sizeof pool->ids);
        pool->left = PG_ID_POOL;
    }
    return as_uuid(pool->ids[--pool->left]);
}

bool pg_id_equal(const struct pg_id *a, const struct pg_id *b) {
    return memcmp(a->bytes, b->bytes, PG_ID_SIZE) == 0;
}

bool pg_id_is_zero(const struct pg_id *id) {
    static const struct pg_id zero;
    return pg_id_equal(id, &zero);
}

static int digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static bool byte_at(const char *text, uint8_t *byte) {
    int high = digit(text[0]);
    int low = digit(text[1]);
    if (high < 0 || low < 0) return false;
    *byte = (uint8_t)(high * 16 + low);
    return true;
}

bool pg_id_parse_uuid(const char *text, size_t length, struct pg_id *id) {
    struct pg_id parsed;
    if (length != PG_UUID_TEXT) return false;
    for (size_t i = 0; i < sizeof dash_at; i++)
        if (text[dash_at[i]] != '-') return false;
    for (size_t i = 0; i < PG_ID_SIZE; i++)
        if (!byte_at(text + digit_at[i], &parsed.bytes[i])) return false;
    *id = parsed;
    return true;
}

bool pg_id_parse_hex(const char *text, size_t length, struct pg_id *id) {
    struct pg_id parsed;
    if (length != PG_ID_HEX) return false;
    for (size_t i = 0; i < PG_ID_SIZE; i++)
        if (!byte_at(text + 2 * i, &parsed.bytes[i])) return false;
    *id = parsed;
    return true;
}

static void write_byte(char *to, uint8_t byte) {
    static const char digits[] = "0123456789abcdef";
    to[0] = digits[byte >> 4];
    to[1] = digits[byte & 15];
}

char *pg_id_uuid(const struct pg_id *id, char to[PG_UUID_TEXT + 1]) {
    for (size_t i = 0; i < sizeof dash_at; i++) to[dash_at[i]] = '-';
    for (size_t i = 0; i < PG_ID_SIZE; i++) write_byte(to + digit_at[i], id->bytes[i]);
    to[PG_UUID_TEXT] = '\0';
    return to;
}

char *pg_id_hex(const struct pg_id *id, char to[PG_ID_HEX + 1]) {
    for (size_t i = 0; i < PG_ID_SIZE; i++) write_byte(to + 2 * i, id->bytes[i]);
    to[PG_ID_HEX] = '\0';
    return to;
}
