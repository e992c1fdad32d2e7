/* Runs the official JSON Schema test suite through the very validator that requests go through. */
#include "suite.h"
#include "contract/scan.h"
#include <stdio.h>

/* What the scan takes without asking jansson must be valid. */
static _Bool is_taken_wrongly(const struct suite_case *c)
{
    _deinit_(arena) struct arena arena = { 0 };
    void *value = NULL;
    return !c->valid && scan_read(c->schema, c->text, c->length, 0, &arena, &value) == 0;
}

int main(void)
{
    int failed = 0;
    for (int i = 0; i < suite_case_count; i++) {
        const struct suite_case *c = &suite_cases[i];
        struct invalid invalid = { 0 };
        int r = schema_decode(c->schema, c->text, c->length, NULL, NULL, &invalid);
        if (r >= 0 && (r == 0) == c->valid && !is_taken_wrongly(c))
            continue;
        failed++;
        printf("FAILED %s: %s is %s (%s %s)\n", c->name, c->text, r ? "refused" : "taken",
               invalid.field, invalid.message);
    }
    printf("json-schema-test-suite: %d of %d cases of %d keywords passed, %d schemas refused "
           "(keyword not implemented)\n",
           suite_case_count - failed, suite_case_count, suite_keyword_count, suite_refused_count);
    printf("%d passed, %d failed\n", suite_case_count - failed, failed);
    return failed || suite_case_count == 0;
}
