/* UTF-8, as RFC 3629 has it: overlong forms, surrogates and what is past U+10FFFF are not
 * well-formed. */
#pragma once
#include <stddef.h>

/* Bytes of the well-formed character that begins here, in a text that ends with a NUL; 0: none
 * begins here. */
size_t utf8_length(const char *at);
