/* What the fuzzers share. A broken promise aborts: libFuzzer then keeps the input. */
#ifndef PG_FUZZ_H
#define PG_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                                                            \
    do {                                                                                                                           \
        if (!(condition)) {                                                                                                        \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition);                                                \
            abort();                                                                                                               \
        }                                                                                                                          \
    } while (0)

#endif
