/* Process numbers: see process_numbers.h. */
#include "base/process_numbers.h"
#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

int64_t process_cpu_ms(void)
{
    struct rusage usage = { 0 };
    getrusage(RUSAGE_SELF, &usage);
    return (int64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
           (int64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
}

int64_t process_resident_bytes(void)
{
    long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return 0;
    /* NOLINTNEXTLINE(cert-err34-c): the kernel's own number */
    if (fscanf(file, "%*d %lld", &pages) != 1)
        pages = 0;
    (void)fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

int64_t process_open_files(void)
{
    int64_t count = -3; /* ".", ".." and this one */
    DIR *folder = opendir("/proc/self/fd");
    if (!folder)
        return 0;
    /* cppcheck-suppress readdirCalled ; nobody else reads this folder's handle */
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}
