/* Notify: messages to a supervisor such as systemd (sd_notify(3)), each one datagram to the socket
 * that the variable NOTIFY_SOCKET names. Without that variable these functions do nothing. Written
 * here, because the author of sd_notify advises against linking libsystemd for it. */
#pragma once
#include <stdint.h>

/* "READY=1", "STOPPING=1", "STATUS=…", "WATCHDOG=1"; several of them with line feeds between. A
 * lost datagram is not repeated. */
void notify_send(const char *text);

/* Within how many milliseconds the supervisor expects the next WATCHDOG=1; 0: it expects none. */
int64_t notify_watchdog_ms(void);
