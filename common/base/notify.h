/* Notify: what a supervisor of systemd's kind is told (sd_notify(3)): one datagram to
 * NOTIFY_SOCKET. Written here because its author advises against linking libsystemd for it. Without
 * that variable all of it does nothing. */
#pragma once
#include <stdint.h>

/* "READY=1", "STOPPING=1", "STATUS=…", "WATCHDOG=1"; several with line feeds. A datagram that is
 * lost is lost. */
void notify_send(const char *text);

/* How often the supervisor wants to hear WATCHDOG=1, in milliseconds; 0: not at all. */
int64_t notify_watchdog_ms(void);
