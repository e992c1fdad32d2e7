/* On a faulty disk: linked to a service's own main and library, it stands between them and the disk
 * before main begins, where JOURNEY_DISK names the folder with the plan (see faulty_disk.h);
 * without it nothing is different. JOURNEY_DISK_POWER=1: what is not synced is noted, for a power
 * cut. */
#include "faulty_disk.h"
#include <stdlib.h>

static void __attribute__((constructor)) stand_before_the_disk(void)
{
    const char *folder = getenv("JOURNEY_DISK");
    if (!folder)
        return;
    faulty_disk_serve(folder, getenv("JOURNEY_DISK_POWER") != NULL);
    faulty_disk_register();
}
