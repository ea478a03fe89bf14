#include "process_metrics.h"

#include "metrics.h"

#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* proc(5): the second number of statm is the resident set, in pages. */
static uint64_t resident_bytes(void) {
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file && fscanf(file, "%*u %lu", &pages) != 1) pages = 0;
    if (file) fclose(file);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

void pg_process_metrics(struct pg_text *to, uint64_t started_ms) {
    struct timespec cpu;
    struct rlimit files;
    uint64_t resident = resident_bytes();
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) == 0)
        pg_metrics_counter_seconds(to, "process_cpu_seconds_total", "CPU time used, the system's for it included",
                                   (uint64_t)cpu.tv_sec * 1000 + (uint64_t)cpu.tv_nsec / 1000000);
    if (resident) pg_metrics_gauge(to, "process_resident_memory_bytes", "Memory in use", resident);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        pg_metrics_gauge(to, "process_max_fds", "File descriptors that it may have", files.rlim_cur);
    pg_metrics_gauge(to, "process_start_time_seconds", "When it started, in Unix time", started_ms / 1000);
}
