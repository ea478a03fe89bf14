/* What the unit tests share: cmocka, a seeded generator, output of a function run in a child, and memory that runs out.
 */
#ifndef PG_SUPPORT_H
#define PG_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { OUTPUT_MAX = 64 * 1024 };
#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

/* splitmix64: the same numbers on every run, from the state the caller chose. */
uint64_t random_next(uint64_t *state);

/* From 0 to below - 1; `below` is not 0. */
size_t random_below(uint64_t *state, size_t below);

/* A copy in memory of exactly this length, so that the address sanitizer sees the first byte read beyond. For free().
 */
void *exact_copy(const void *bytes, size_t length);

/* What a function wrote and how it ended. Both texts end in NUL. */
struct output {
    int status; /* exit status, or minus the signal */
    size_t out_length, err_length;
    char out[OUTPUT_MAX];
    char err[OUTPUT_MAX];
};

/* Runs body(argument) in a child whose stdout and stderr are kept; its result is the exit status. The body must not
 * assert: cmocka would go on in the child. The result is valid until the next call. */
const struct output *run_in_child(int (*body)(void *argument), void *argument);

/* Lets `good` more calls of malloc from our own code succeed and then fails all others, until memory_is_back(). */
void memory_runs_out_after(unsigned good);
void memory_is_back(void);

/* Did a malloc fail since memory_runs_out_after? */
bool memory_ran_out(void);

/* Blocks our own code has and has not freed yet. */
long blocks_alive(void);

#endif
