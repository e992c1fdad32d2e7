/* Terminal: see terminal.h. */
#include "base/terminal.h"
#include "base/utf8.h"
#include <assert.h>
#include <stdlib.h>

#define REPLACEMENT "\xef\xbf\xbd"

void terminal_print_list(FILE *out, const char *format, va_list arguments)
{
    char *text = NULL;
    assert(out && format);
    if (vasprintf(&text, format, arguments) < 0)
        return;
    for (const char *at = text; *at;) {
        size_t length = *at == '\n' ? 1 : utf8_printable_length(at);
        if (length > 0)
            (void)fwrite(at, 1, length, out);
        else
            (void)fputs(REPLACEMENT, out);
        if (length == 0)
            length = utf8_length(at); /* a whole character, or one byte that belongs to none */
        at += length > 0 ? length : 1;
    }
    free(text);
}

void terminal_print(FILE *out, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    terminal_print_list(out, format, arguments);
    va_end(arguments);
}
