#!/usr/bin/env python3
"""Compiles the official JSON Schema test suite with our generator: each schema that uses only
keywords that we implement becomes a table, each of its cases a row that the runner checks.

Only the files of KEYWORDS are taken: those of the keywords that the generator implements. A schema
in them that uses another keyword too is refused by the generator and counted.
"""
import argparse
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "schemas"))
from generate import Compiler, Refused, c_string  # noqa: E402 - the path comes first

KEYWORDS = ["type", "properties", "required", "additionalProperties", "items", "enum", "pattern",
            "minLength", "maxLength",
            "minItems", "maxItems", "minProperties", "maxProperties", "minimum", "maximum"]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", type=pathlib.Path,
                        help="folder of the draft, with type.json and the others")
    parser.add_argument("output", type=pathlib.Path, help="C source to write")
    options = parser.parse_args()
    tables, rows, refused, keywords, number = [], [], 0, 0, 0
    for keyword in KEYWORDS:
        file = options.suite / f"{keyword}.json"
        if not file.exists():
            continue
        keywords += 1
        for group in json.loads(file.read_text(encoding="utf-8")):
            compiler = Compiler(typed=False)
            number += 1
            name = f"suite_{number}"
            try:
                compiler.compile(name, group["schema"], f"{file.name}: {group['description']}")
            except Refused:
                refused += 1
                continue
            tables += compiler.tables
            for case in group["tests"]:
                title = f"{keyword}: {group['description']}: {case['description']}"
                text = json.dumps(case["data"], ensure_ascii=True)
                rows.append(f"    {{ {c_string(title)}, &{name}_schema, {c_string(text)}, "
                            f"{len(text)}, {int(case['valid'])} }},\n")
    options.output.write_text(
        "/* Made by tests/unit/json_schema_suite/compile_suite.py. */\n#include "
        "\"suite.h\"\n#include <math.h>\n\n" + "\n".join(tables)
        + f"\nconst struct suite_case suite_cases[] = {{\n{''.join(rows)}}};\n"
        + f"const int suite_case_count = {len(rows)}, suite_keyword_count = {keywords}, "
          f"suite_refused_count = {refused};\n")


if __name__ == "__main__":
    main()
