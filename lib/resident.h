/* How much memory this process has. */
#ifndef PG_RESIDENT_H
#define PG_RESIDENT_H

#include <stdbool.h>
#include <stdint.h>

/* Reads /proc/self/statm (proc_pid_statm(5)): bytes that are in memory in all, and those of them that are mapped from files. False where
 * that cannot be read. */
bool pg_resident_read(uint64_t *all, uint64_t *files);

#endif
