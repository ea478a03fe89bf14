/* What Prometheus' client libraries tell of every process, under the names that they all use. */
#ifndef PG_PROCESS_METRICS_H
#define PG_PROCESS_METRICS_H

#include "text.h"

#include <stdint.h>

/* CPU time, resident memory, limit of descriptors, and the start: `started_ms` is in Unix time. What the system does not tell is left
 * out. */
void pg_process_metrics(struct pg_text *to, uint64_t started_ms);

#endif
