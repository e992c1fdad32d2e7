/* Scan: decodes plain JSON into the struct of a schema, in one walk and without a tree between.
 * Plain is what schema_encode and most clients write: no \u in texts, integers without fraction or
 * exponent, nothing invalid. Any other message is left to jansson (schema.c), and so are all
 * messages that do not fit the schema, because only schema.c says what is wrong with a message. A
 * message that is decoded here must be decoded there to the same value; tests/fuzz and
 * test_contract compare the two. The scan needs a fifth of the instructions that jansson needs. */
#pragma once
#include "contract/schema.h"

#define NOT_PLAIN 1

/* 0 with *ret_value in the arena, NOT_PLAIN, or -ERR_MEMORY. Any thread. */
int scan_read(const struct schema *schema, const char *data, size_t length, _Bool is_request,
              struct arena *arena, void **ret_value);
