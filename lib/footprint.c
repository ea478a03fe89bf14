#include "footprint.h"

#include <link.h>
#include <malloc.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Segments that were never writable hold nothing but the file's bytes, so dropping them loses nothing. (Relocated
 * read-only data lies in a writable segment.) */
static int release(struct dl_phdr_info *info, size_t size, void *user) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    (void)size;
    (void)user;
    if (strncmp(info->dlpi_name, "linux-vdso", 10) == 0) return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        if (header->p_type != PT_LOAD || (header->p_flags & PF_W)) continue;
        uintptr_t from = (info->dlpi_addr + header->p_vaddr) & ~(page - 1);
        uintptr_t to = (info->dlpi_addr + header->p_vaddr + header->p_memsz + page - 1) & ~(page - 1);
        madvise((void *)from, to - from, MADV_DONTNEED); /* best effort */
    }
    return 0;
}

void pg_footprint_release(void) {
    malloc_trim(0);
    dl_iterate_phdr(release, NULL);
}
