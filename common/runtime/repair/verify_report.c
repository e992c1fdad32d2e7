/* Verify's report: see verify_report.h. */
#include "runtime/repair/verify_report.h"
#include <inttypes.h>
#include <stdarg.h>
#include <unistd.h>
#include "base/terminal.h"
#include "base/utf8.h"
#include "runtime/repair/tools.h"

void verify_progress(const char *what, int64_t done, int64_t all)
{
    if (isatty(STDERR_FILENO) && (done % VERIFY_PROGRESS_EVENTS == 0 || done == all)) {
        fprintf(stderr, "\r%s: %" PRId64 " of %" PRId64 "%s", what, done, all,
                done == all ? "\r\033[K" : "");
        fflush(stderr);
    }
}

void verify_print(const char *name, const char *format, ...)
{
    va_list arguments;
    terminal_print(stdout, "  %-8s ", name);
    va_start(arguments, format);
    terminal_print_list(stdout, format, arguments);
    va_end(arguments);
    terminal_print(stdout, "\n");
    fflush(stdout);
}

int verify_different(const char *name, const char *format, ...)
{
    char text[512], shown[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    utf8_show(text, shown, sizeof(shown));
    verify_print(name, "DIFFERENT: %s", shown);
    return TOOL_NO;
}
