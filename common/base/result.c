/* Results: see result.h. The record has a fixed size, so that a failed allocation can be noted
 * without another one. */
#include "base/result.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char record[512];
static _Thread_local size_t record_length;
static _Thread_local char shown[514];
static _Thread_local char reason[300];
static _Thread_local char unknown_error[64];

static const char *const names[] = {
    [ERR_MEMORY] = "memory",     [ERR_IO] = "io",
    [ERR_FULL] = "full",         [ERR_READONLY] = "readonly",
    [ERR_CORRUPT] = "corrupt",   [ERR_CONSTRAINT] = "constraint",
    [ERR_LOCKED] = "locked",     [ERR_NETWORK] = "network",
    [ERR_INVALID] = "invalid",   [ERR_CONFIG] = "config",
    [ERR_INTERNAL] = "internal",
};

const char *failure_name(int code)
{
    code = code < 0 ? -code : code;
    return code > 0 && code <= ERR_INTERNAL ? names[code] : "unknown";
}

const char *errno_text(int number)
{
    return strerror_r(number, unknown_error, sizeof(unknown_error));
}

static void record_grow(int length)
{
    if (length > 0)
        record_length += (size_t)length;
    if (record_length >= sizeof(record)) /* it was cut */
        record_length = sizeof(record) - 1;
    assert(record[record_length] == '\0');
}

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

int failure_note(enum failure code, const char *file, int line, const char *format, ...)
{
    assert(code > 0 && code <= ERR_INTERNAL);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    record_length = 0;
    record_grow(snprintf(record, sizeof(record), "%s: %s (%s:%d", failure_name(code), reason,
                         file_name(file), line));
    return -(int)code;
}

int failure_trace(int result, const char *file, int line)
{
    if (result < 0)
        record_grow(snprintf(record + record_length, sizeof(record) - record_length, " < %s:%d",
                             file_name(file), line));
    return result;
}

const char *failure_reason(void)
{
    return reason;
}

const char *failure_text(void)
{
    snprintf(shown, sizeof(shown), "%s)", record);
    return shown;
}
