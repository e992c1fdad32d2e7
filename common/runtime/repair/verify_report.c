/* Verify's report: see verify_report.h. */
#include "runtime/repair/verify_report.h"
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/result.h"
#include "base/terminal.h"
#include "base/utf8.h"
#include "runtime/repair/tools.h"

static struct {
    _Bool as_json;
    struct buf object; /* the beginning of it */
    int rows;
} report;

static void put_text(const char *text)
{
    char shown[2048];
    utf8_show(text, shown, sizeof(shown));
    buf_put_json(&report.object, shown, strlen(shown));
}

void verify_begin(const char *database_path, _Bool as_json)
{
    buf_clear(&report.object);
    report.as_json = as_json;
    report.rows = 0;
    if (!as_json) {
        terminal_print(stdout, "%s\n", database_path);
        return;
    }
    buf_put_text(&report.object, "{\"database\":");
    put_text(database_path);
    buf_put_text(&report.object, ",\"rows\":[");
}

void verify_progress(const char *what, int64_t done, int64_t all)
{
    if (isatty(STDERR_FILENO) && (done % VERIFY_PROGRESS_EVENTS == 0 || done == all)) {
        fprintf(stderr, "\r%s: %" PRId64 " of %" PRId64 "%s", what, done, all,
                done == all ? "\r\033[K" : "");
        fflush(stderr);
    }
}

static void put_row(const char *name, const char *found, _Bool differs)
{
    buf_put_text(&report.object, report.rows++ > 0 ? ",{\"what\":" : "{\"what\":");
    put_text(name);
    buf_put_text(&report.object, ",\"found\":");
    put_text(found);
    buf_put_format(&report.object, ",\"differs\":%s}", differs ? "true" : "false");
}

void verify_print(const char *name, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (report.as_json) {
        char text[2048];
        vsnprintf(text, sizeof(text), format, arguments);
        put_row(name, text, 0);
    } else {
        terminal_print(stdout, "  %-8s ", name);
        terminal_print_list(stdout, format, arguments);
        terminal_print(stdout, "\n");
        fflush(stdout);
    }
    va_end(arguments);
}

int verify_different(const char *name, const char *format, ...)
{
    char text[512], shown[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    utf8_show(text, shown, sizeof(shown));
    if (report.as_json)
        put_row(name, shown, 1);
    else
        verify_print(name, "DIFFERENT: %s", shown);
    return TOOL_NO;
}

int verify_end(int result, _Bool is_complete)
{
    if (!report.as_json) {
        if (result == 0)
            terminal_print(stdout, "%s agrees\n", is_complete ? "all" : "what was compared");
        return trace(result);
    }
    buf_put_format(&report.object, "],\"agrees\":%s,\"complete\":%s",
                   result == 0 ? "true" : "false", result == 0 && is_complete ? "true" : "false");
    if (result < 0) {
        buf_put_text(&report.object, ",\"failure\":");
        put_text(failure_reason());
    }
    int r = buf_status(&report.object);
    if (r == 0)
        terminal_print(stdout, "%s}\n", report.object.data);
    buf_deinit(&report.object);
    return r < 0 ? trace(r) : trace(result);
}
