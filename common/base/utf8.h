/* UTF-8 as RFC 3629 defines it: overlong forms, surrogates and code points above U+10FFFF are not
 * well-formed. */
#pragma once
#include <stddef.h>

/* How many bytes the well-formed character has that begins here, in a text that ends with a NUL; 0:
 * no such character begins here. */
size_t utf8_length(const char *at);

/* How many code points a well-formed text of this length in bytes has. */
size_t utf8_count(const char *text, size_t length);
