/* UTF-8 as RFC 3629 defines it: overlong forms, surrogates and code points above U+10FFFF are not
 * well-formed. */
#pragma once
#include <stddef.h>

/* How many bytes the well-formed character has that begins here, in a text that ends with a NUL; 0:
 * no such character begins here. */
size_t utf8_length(const char *at);

/* How many code points a well-formed text of this length in bytes has. */
size_t utf8_count(const char *text, size_t length);

/* ---- Printable ------------------------------------------------------------------------------ */

/* One judge for all text that a person sees or that names something: names, keys, ids, logs,
 * terminals. Printable is what has a shape or is a space. It is not: a control character (C0, DEL,
 * C1, which a terminal obeys), a line or paragraph separator, a mark that turns the direction of
 * text, a character without width (joiners too), a private, unassigned or surrogate code point, and
 * what is no well-formed UTF-8. */

/* As utf8_length, and 0 also for a character that is not printable. */
size_t utf8_printable_length(const char *at);

/* True for a text of this length (a NUL follows) in which every character is printable. */
_Bool utf8_is_printable(const char *text, size_t length);

/* The text as it may be shown to a person: U+FFFD stands for each byte or control that is not
 * printable, and an ellipsis for what does not fit. size: of out, at least 4. */
void utf8_show(const char *text, char *out, size_t size);
