#include "support.h"

#include "ring.h"

#include <stdlib.h>
#include <string.h>

enum { MODEL_MAX = 300000 };

/* What the ring should hold: a plain array that is moved down at every drop. */
struct model {
    uint8_t bytes[MODEL_MAX];
    size_t length;
};

static struct model model;

static void assert_same(const struct pg_ring *ring) {
    size_t seen = 0, length;
    assert_int_equal(ring->length, model.length);
    assert_int_equal(pg_ring_room(ring), ring->max - model.length);
    assert_true(ring->size <= ring->max);
    while (seen < model.length) {
        const uint8_t *piece = pg_ring_peek(ring, seen, &length);
        assert_in_range(length, 1, model.length - seen);
        assert_memory_equal(piece, model.bytes + seen, length);
        seen += length;
    }
    pg_ring_peek(ring, model.length, &length);
    assert_int_equal(length, 0);
    pg_ring_peek(ring, SIZE_MAX, &length);
    assert_int_equal(length, 0);
}

static void append(struct pg_ring *ring, const uint8_t *bytes, size_t length) {
    bool fits = length <= ring->max - model.length;
    assert_int_equal(pg_ring_append(ring, bytes, length), fits);
    if (!fits) return;
    memcpy(model.bytes + model.length, bytes, length);
    model.length += length;
}

static void drop(struct pg_ring *ring, size_t length) {
    pg_ring_drop(ring, length);
    if (length > model.length) length = model.length;
    memmove(model.bytes, model.bytes + length, model.length - length);
    model.length -= length;
}

static void random_walk(size_t max, uint64_t seed, int steps) {
    static uint8_t bytes[MODEL_MAX];
    struct pg_ring ring;
    pg_ring_init(&ring, max);
    model.length = 0;
    for (int i = 0; i < steps; i++) {
        size_t length = random_below(&seed, random_below(&seed, 3) ? max / 3 + 2 : max + 2);
        for (size_t j = 0; j < length; j++) bytes[j] = (uint8_t)random_next(&seed);
        if (random_below(&seed, 2)) append(&ring, bytes, length);
        else drop(&ring, length);
        assert_same(&ring);
        size_t skip = random_below(&seed, max + 2), piece_length;
        const uint8_t *piece = pg_ring_peek(&ring, skip, &piece_length);
        if (skip >= model.length) assert_int_equal(piece_length, 0);
        else assert_memory_equal(piece, model.bytes + skip, piece_length);
    }
    pg_ring_clear(&ring);
    assert_int_equal(blocks_alive(), 0);
}

static void a_long_random_walk_agrees_with_a_plain_array(void **state) {
    (void)state;
    static const size_t sizes[] = {1, 2, 3, 7, 4095, 4096, 4097, 8192, 10000, 65537};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) random_walk(sizes[i], i + 1, sizes[i] < 100 ? 5000 : 600);
}

static void bytes_wrap_around_the_end(void **state) {
    (void)state;
    struct pg_ring ring;
    size_t length;
    pg_ring_init(&ring, 8);
    assert_true(pg_ring_append(&ring, "abcdef", 6));
    pg_ring_drop(&ring, 5);
    assert_true(pg_ring_append(&ring, "ghijklm", 7));
    assert_false(pg_ring_append(&ring, "n", 1));
    const uint8_t *piece = pg_ring_peek(&ring, 0, &length);
    assert_int_equal(length, 3); /* f, g, h stand before the end */
    assert_memory_equal(piece, "fgh", 3);
    piece = pg_ring_peek(&ring, 3, &length);
    assert_int_equal(length, 5);
    assert_memory_equal(piece, "ijklm", 5);
    piece = pg_ring_peek(&ring, 7, &length);
    assert_int_equal(length, 1);
    assert_memory_equal(piece, "m", 1);
    pg_ring_clear(&ring);
}

static void growing_keeps_the_order_of_wrapped_bytes(void **state) {
    (void)state;
    static uint8_t bytes[20000];
    struct pg_ring ring;
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 31 / 7);
    pg_ring_init(&ring, sizeof bytes);
    model.length = 0;
    append(&ring, bytes, 4096);
    drop(&ring, 4000);
    append(&ring, bytes, 3000);  /* wraps */
    append(&ring, bytes, 10000); /* grows */
    assert_same(&ring);
    pg_ring_clear(&ring);
}

static void the_maximum_holds_on_both_sides(void **state) {
    (void)state;
    static const uint8_t bytes[5001];
    struct pg_ring ring;
    pg_ring_init(&ring, 5000);
    assert_false(pg_ring_append(&ring, bytes, 5001));
    assert_false(pg_ring_append(&ring, bytes, SIZE_MAX));
    assert_int_equal(ring.length, 0);
    assert_true(pg_ring_append(&ring, bytes, 5000));
    assert_int_equal(pg_ring_room(&ring), 0);
    assert_false(pg_ring_append(&ring, bytes, 1));
    assert_false(pg_ring_append(&ring, bytes, SIZE_MAX));
    assert_true(pg_ring_append(&ring, bytes, 0));
    pg_ring_drop(&ring, 1);
    assert_false(pg_ring_append(&ring, bytes, 2));
    assert_true(pg_ring_append(&ring, bytes, 1));
    assert_int_equal(ring.size, 5000);
    pg_ring_clear(&ring);
    pg_ring_init(&ring, 0);
    assert_true(pg_ring_append(&ring, NULL, 0));
    assert_false(pg_ring_append(&ring, bytes, 1));
}

static void memory_is_taken_only_while_bytes_are_held(void **state) {
    (void)state;
    struct pg_ring ring;
    pg_ring_init(&ring, 1 << 18);
    assert_true(pg_ring_append(&ring, NULL, 0));
    assert_int_equal(blocks_alive(), 0);
    for (int i = 0; i < 3; i++) {
        assert_true(pg_ring_append(&ring, "abc", 3));
        assert_int_equal(blocks_alive(), 1);
        pg_ring_drop(&ring, 2);
        assert_int_equal(blocks_alive(), 1);
        pg_ring_drop(&ring, i == 0 ? 1 : 100);
        assert_int_equal(ring.length, 0);
        assert_int_equal(blocks_alive(), 0);
    }
    pg_ring_drop(&ring, 1);
    assert_true(pg_ring_append(&ring, "abc", 3));
    pg_ring_clear(&ring);
    assert_int_equal(blocks_alive(), 0);
    assert_int_equal(pg_ring_room(&ring), 1 << 18);
    assert_true(pg_ring_append(&ring, "again", 5));
    pg_ring_clear(&ring);
}

/* Each allocation of a walk fails in turn: nothing is appended, nothing is lost, nothing leaks. */
static void without_memory_nothing_changes(void **state) {
    (void)state;
    static uint8_t bytes[3000];
    bool failed = true;
    for (unsigned good = 0; failed; good++) {
        struct pg_ring ring;
        pg_ring_init(&ring, 40000);
        model.length = 0;
        memory_runs_out_after(good);
        for (size_t i = 0; i < 13; i++) {
            memset(bytes, (int)i, sizeof bytes);
            size_t before = ring.length;
            if (pg_ring_append(&ring, bytes, sizeof bytes)) {
                memcpy(model.bytes + model.length, bytes, sizeof bytes);
                model.length += sizeof bytes;
            } else assert_int_equal(ring.length, before);
            if (i % 4 == 3) drop(&ring, 1500);
        }
        failed = memory_ran_out();
        memory_is_back();
        assert_same(&ring);
        assert_true(pg_ring_append(&ring, bytes, 1));
        pg_ring_clear(&ring);
        assert_int_equal(blocks_alive(), 0);
        assert_true(good < 10); /* doubling from 4 KiB to 40,000 bytes takes five */
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_long_random_walk_agrees_with_a_plain_array), cmocka_unit_test(bytes_wrap_around_the_end),
        cmocka_unit_test(growing_keeps_the_order_of_wrapped_bytes),     cmocka_unit_test(the_maximum_holds_on_both_sides),
        cmocka_unit_test(memory_is_taken_only_while_bytes_are_held),    cmocka_unit_test(without_memory_nothing_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
