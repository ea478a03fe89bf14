#include "metrics.h"

#include <inttypes.h>
#include <stdio.h>

static const double bounds[PG_HISTOGRAM_BUCKETS] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                                    0.1,    0.25,  0.5,    1,     2.5,  10,    60};

void pg_histogram_observe(struct pg_histogram *histogram, uint64_t us) {
    size_t i = 0;
    while (i < PG_HISTOGRAM_BUCKETS && (double)us > bounds[i] * 1e6) i++;
    histogram->buckets[i]++;
    histogram->count++;
    histogram->sum_us += us;
}

static void heading(struct pg_text *to, const char *name, const char *help, const char *type) {
    pg_text_add(to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void pg_metrics_counter(struct pg_text *to, const char *name, const char *help, uint64_t value) {
    heading(to, name, help, "counter");
    pg_text_add(to, "%s %" PRIu64 "\n", name, value);
}

void pg_metrics_counter_seconds(struct pg_text *to, const char *name, const char *help, uint64_t ms) {
    heading(to, name, help, "counter");
    pg_text_add(to, "%s %" PRIu64 ".%03u\n", name, ms / 1000, (unsigned)(ms % 1000));
}

void pg_metrics_gauge(struct pg_text *to, const char *name, const char *help, uint64_t value) {
    heading(to, name, help, "gauge");
    pg_text_add(to, "%s %" PRIu64 "\n", name, value);
}

void pg_metrics_histogram(struct pg_text *to, const char *name, const char *help, const struct pg_histogram *histogram) {
    uint64_t below = 0;
    heading(to, name, help, "histogram");
    for (size_t i = 0; i < PG_HISTOGRAM_BUCKETS; i++) {
        below += histogram->buckets[i];
        pg_text_add(to, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, bounds[i], below);
    }
    pg_text_add(to, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, histogram->count);
    pg_text_add(to, "%s_sum %.6f\n", name, (double)histogram->sum_us / 1e6);
    pg_text_add(to, "%s_count %" PRIu64 "\n", name, histogram->count);
}

void pg_metrics_counter_head(struct pg_text *to, const char *name, const char *help) {
    heading(to, name, help, "counter");
}

void pg_metrics_counter_line(struct pg_text *to, const char *name, const char *label, const char *label_value, uint64_t value) {
    pg_text_add(to, "%s{%s=\"%s\"} %" PRIu64 "\n", name, label, label_value, value);
}
