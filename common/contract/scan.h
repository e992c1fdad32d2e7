/* Scan: reads plain JSON straight into the struct of a schema, in one walk and without a tree
 * between. Plain is what schema_encode and most clients write: no \u in texts, integers without
 * fraction or exponent, nothing invalid. Whatever is not plain or does not fit the schema is left
 * to jansson (schema.c), which alone says what is wrong with a message; so what is taken here must
 * be taken there, with the same value (tests/fuzz and test_contract hold both against each other).
 * By instructions it costs a fifth of jansson's way. */
#pragma once
#include "contract/schema.h"

/* 1 with *ret_value in the arena; 0: not plain; < 0: -ERR_MEMORY. Any thread. */
int scan_decode(const struct schema *schema, const char *data, size_t length, struct arena *arena,
                void **ret_value);
