/* Terminal: what a tool prints for a person. Text from outside (a message of a stream, the words of
 * a server, a path) must not steer the terminal, so all that is printed goes through here. */
#pragma once
#include <stdarg.h>
#include <stdio.h>

/* As fprintf; U+FFFD stands for each byte or character that is not printable (utf8.h), but line
 * feeds stay. Text from outside that must stay on its line goes through utf8_show first, which
 * replaces line feeds, too. Without memory nothing is printed. */
void terminal_print(FILE *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
void terminal_print_list(FILE *out, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));
