#include "base/disk_has.h"

bool pd_disk_has(struct pd_disk *disk, const char *name)
{
    struct pd_disk_file file;
    uint64_t size = 0;
    if (disk->ops->open(disk, name, &file, &size) != PD_OK) {
        return false;
    }
    disk->ops->close(disk, file);
    return true;
}
