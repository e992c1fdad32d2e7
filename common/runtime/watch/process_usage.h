/* Process usage: what this process has of the machine. Any thread. */
#pragma once
#include <stdint.h>

int64_t process_cpu_ms(void);         /* in user mode and in the kernel */
int64_t process_resident_bytes(void); /* 0: the kernel does not say */
int64_t process_open_files(void);     /* likewise */
