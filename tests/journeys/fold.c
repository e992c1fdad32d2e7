/* Fold (rule 2): the events of a story, applied to empty tables, must make the same rows again. */
#include "stage.h"
#include "runtime/request/query.h"
#include <criterion/criterion.h>
#include <string.h>

static void fold_item(struct stage *stage, struct loop *loop, const struct event *event)
{
    struct item *item = stage_event_item(stage, loop, event, event->log);
    struct event_type quiet;
    if (item->type) { /* a fold only applies: the events of reactions are in the log */
        quiet = *item->type;
        quiet.react = NULL;
        item->type = &quiet;
    }
    struct batch *batch = batch_new();
    int r = loop_run(loop, &item, 1, stage->now_ms, batch);
    check(stage, r == 0 && batch->items->outcome == OUTCOME_DONE, "folding anew fails at %s: %s",
          event->type, failure_text());
    batch_free(batch);
}

static void fold_own(struct stage *stage, struct loop *loop)
{
    _deinit_(event_reader) struct event_reader reader = { 0 };
    struct event event;
    cr_assert_eq(event_reader_open(&reader, stage->db, stage->service->log, 0, INT64_MAX), 0);
    while (event_reader_has_next(&reader, &event))
        fold_item(stage, loop, &event);
    cr_assert_eq(event_reader_status(&reader), 0, "%s", failure_text());
}

static void compare(struct stage *stage, struct db *folded, const char *sql)
{
    _deinit_(query) struct query before = { 0 }, after = { 0 };
    check(stage,
          query_find(&before, stage->db, sql, "") == 0 && query_find(&after, folded, sql, "") == 0,
          "%s has no row", sql);
    const char *a = query_text(&before, 0), *b = query_text(&after, 0);
    check(stage, (!a && !b) || (a && b && strcmp(a, b) == 0),
          "folding anew gives\n  %s instead of\n  %s", b ? b : "nothing", a ? a : "nothing");
}

void stage_fold_anew(struct stage *stage, _Bool own_first, const char *const *fold_checks)
{
    _free_(db) struct db *db = NULL;
    struct db_options options = { .path = ":memory:" };
    struct loop loop;
    cr_assert_eq(db_open(&options, &db), 0);
    cr_assert_eq(loop_open(&loop, stage->service, stage->option_values, db, 44), 0);
    if (own_first)
        fold_own(stage, &loop);
    for (struct happened *given = stage->given; given; given = given->next)
        fold_item(stage, &loop, &given->event);
    if (!own_first)
        fold_own(stage, &loop);
    for (int i = 0; fold_checks[i]; i++)
        compare(stage, db, fold_checks[i]);
    loop_close(&loop);
}
