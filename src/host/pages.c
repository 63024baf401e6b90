#include "base/pages.h"

#include <sys/mman.h>
#include <unistd.h>

void pd_pages_forget(uint8_t *bytes, uint64_t size)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t before = (page - (uintptr_t)bytes % page) % page;
    if (size < before + page) {
        return;
    }
    /* A lazy hand-over (MADV_FREE) would leave the pages in the process's figures. */
    (void)madvise(bytes + before, (size - before) / page * page, MADV_DONTNEED);
}
