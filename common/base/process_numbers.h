/* Process numbers: what the system counts of this process. 0 where it does not say. Any thread. */
#pragma once
#include <stdint.h>

int64_t process_cpu_ms(void); /* in user mode and in the kernel */
int64_t process_resident_bytes(void);
int64_t process_open_files(void); /* without the one that it needs to count */
