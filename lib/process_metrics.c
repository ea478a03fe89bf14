#include "process_metrics.h"

#include "metrics.h"
#include "resident.h"

#include <sys/resource.h>
#include <time.h>

void pg_process_metrics(struct pg_text *to, uint64_t started_ms) {
    struct timespec cpu;
    struct rlimit descriptors;
    uint64_t resident, files;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) == 0)
        pg_metrics_counter_seconds(to, "process_cpu_seconds_total", "CPU time used, the system's for it included",
                                   (uint64_t)cpu.tv_sec * 1000 + (uint64_t)cpu.tv_nsec / 1000000);
    if (pg_resident_read(&resident, &files)) pg_metrics_gauge(to, "process_resident_memory_bytes", "Memory in use", resident);
    if (getrlimit(RLIMIT_NOFILE, &descriptors) == 0)
        pg_metrics_gauge(to, "process_max_fds", "File descriptors that it may have", descriptors.rlim_cur);
    pg_metrics_gauge(to, "process_start_time_seconds", "When it started, in Unix time", started_ms / 1000);
}
