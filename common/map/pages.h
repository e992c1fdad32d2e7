/* Pages: the files of page/, which are part of the program: embed.py makes pages.c of them. */
#pragma once
#include <stddef.h>

struct page {
    const char *path; /* "/map.js" */
    const char *content_type;
    const char *data;
    size_t length;
};

/* NULL: there is no such page. */
const struct page *page_find(const char *path);
