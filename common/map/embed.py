#!/usr/bin/env python3
"""embed - make C of the files of the map's page

USAGE
    common/map/embed.py OUTPUT FILE…

WHAT IT DOES
    Writes pages.c (pages.h): each FILE as an array, under its name; index.html is the page at /.
"""
import os
import sys

TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript",
         ".svg": "image/svg+xml"}


def main():
    output, files = sys.argv[1], sys.argv[2:]
    arrays, rows = [], []
    for number, path in enumerate(files):
        with open(path, "rb") as file:
            data = file.read()
        name = os.path.basename(path)
        where = "/" if name == "index.html" else "/" + name
        kind = TYPES[os.path.splitext(name)[1]] + "; charset=utf-8"
        arrays.append(f"static const unsigned char page_{number}[] = {{ "
                      f"{','.join(map(str, data))} }};\n")
        rows.append(f'    {{ "{where}", "{kind}", (const char *)page_{number}, '
                    f"{len(data)} }},\n")
    with open(output, "w", encoding="utf-8") as file:
        file.write('/* Made by embed.py of the files in page/. */\n#include "map/pages.h"\n'
                   "#include <string.h>\n\n" + "".join(arrays) +
                   "\nstatic const struct page pages[] = {\n" + "".join(rows) + "};\n\n"
                   "const struct page *page_find(const char *path)\n{\n"
                   "    for (size_t i = 0; i < sizeof(pages) / sizeof(*pages); i++)\n"
                   "        if (strcmp(pages[i].path, path) == 0)\n"
                   "            return &pages[i];\n    return NULL;\n}\n")


if __name__ == "__main__":
    main()
