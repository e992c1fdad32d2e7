/* The command of add_product.h as an item of the loop. */
#pragma once
#include "add_product.h"
#include "runtime/core/item.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* Owned by the caller. key: of the request, with which the item has a cause; NULL: it has none. */
static inline struct item *add_product_item(const struct command *command, const char *sku,
                                            const char *key)
{
    char body[200], hex[DIGEST_HEX_SIZE], cause[64];
    struct item *item = item_new(ITEM_COMMAND);
    struct invalid invalid;
    struct digest digest;
    void *request;
    int length = snprintf(
        body, sizeof(body),
        "{\"sku\":\"%s\",\"name\":\"n\",\"price\":{\"amount\":1,\"currency\":\"EUR\"},\"stock\":1}",
        sku);
    cr_assert(schema_decode(&order_add_product_schema, body, (size_t)length, &item->arena, &request,
                            &invalid) == 0);
    item->command = command;
    item->request = request;
    if (key) {
        cr_assert(digest_of(body, (size_t)length, &digest) == 0);
        digest_format(&digest, hex);
        snprintf(cause, sizeof(cause), CAUSE_REQUEST "%s", key);
        item->key = arena_copy(&item->arena, key, strlen(key));
        item->origin.cause = arena_copy(&item->arena, cause, strlen(cause));
        item->origin.cause_digest = arena_copy(&item->arena, hex, strlen(hex));
    }
    return item;
}
