/* The official suite's cases, as tests/unit/json_schema_suite/compile_suite.py compiles them. */
#pragma once
#include "contract/schema.h"

struct suite_case {
    const char *name;
    const struct schema *schema;
    const char *text;
    size_t length;
    _Bool valid;
};
extern const struct suite_case suite_cases[];
extern const int suite_case_count, suite_keyword_count, suite_refused_count;
