#include "resident.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

bool pg_resident_read(uint64_t *all, uint64_t *files) {
    char text[128];
    unsigned long all_pages, file_pages;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    text[length > 0 ? length : 0] = '\0';
    if (sscanf(text, "%*u %lu %lu", &all_pages, &file_pages) != 2) return false;
    *all = (uint64_t)all_pages * (uint64_t)sysconf(_SC_PAGESIZE);
    *files = (uint64_t)file_pages * (uint64_t)sysconf(_SC_PAGESIZE);
    return true;
}
