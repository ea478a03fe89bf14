/* Counters, gauges and histograms in Prometheus' text format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats). */
#ifndef PG_METRICS_H
#define PG_METRICS_H

#include "text.h"

#include <stdint.h>

enum { PG_HISTOGRAM_BUCKETS = 14 };

/* Latencies: bucket i counts those of at most the i-th bound (metrics.c: 0.5 ms to 60 s or so), the last one all above. Zero-initialise. */
struct pg_histogram {
    uint64_t buckets[PG_HISTOGRAM_BUCKETS + 1];
    uint64_t count;
    uint64_t sum_us;
};

void pg_histogram_observe(struct pg_histogram *histogram, uint64_t us);

/* Each writes # HELP and # TYPE, then the value. `name` is the whole metric name. */
void pg_metrics_counter(struct pg_text *to, const char *name, const char *help, uint64_t value);
void pg_metrics_counter_seconds(struct pg_text *to, const char *name, const char *help, uint64_t ms);
void pg_metrics_gauge(struct pg_text *to, const char *name, const char *help, uint64_t value);
void pg_metrics_histogram(struct pg_text *to, const char *name, const char *help, const struct pg_histogram *histogram);

/* A counter with one label: the heading once, then a line per value of the label. */
void pg_metrics_counter_head(struct pg_text *to, const char *name, const char *help);
void pg_metrics_counter_line(struct pg_text *to, const char *name, const char *label, const char *label_value, uint64_t value);

#endif
