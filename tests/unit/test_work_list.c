/* Work list: what is asked for and when, as stories: pieces stand open in a table that the story
 * fills, time passes, answers come or do not, the process forgets everything. A step that acts is
 * followed by DID with what the list did (work_stage.h). Nothing happens unnoticed. */
#include "work_stage.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum kind { END, OPEN, CLOSE, EVENT, ADD, WAIT, ANSWER, RESTART, SAY, THEN, COUNTS };
struct step {
    enum kind kind;
    const char *what;
    int64_t a, b;
    const char *key; /* of an answer; NULL: "a" */
};
struct story {
    const char *name;
    const struct work_type *type;
    int in_flight_max, open_max;
    struct step steps[24];
};

static void check_counts(const struct story *story, const struct step *step)
{
    char text[128];
    struct work_counts counts;
    work_list_counts(&stage.list, &counts);
    snprintf(text, sizeof(text),
             "%d open, %d in flight, %d asked, %d answered, %d late, %d expired", (int)counts.open,
             (int)counts.in_flight, (int)counts.asked, (int)counts.answered, (int)counts.late,
             (int)counts.expired);
    cr_assert_str_eq(text, step->what, "%s", story->name);
}

static void run_step(const struct story *story, const struct step *step)
{
    switch (step->kind) {
    case END: return;
    case OPEN:
        stage_open(step->what, step->a, step->b);
        stage_observe("");
        break;
    case CLOSE: stage_close(step->what, step->a); return;
    case EVENT: stage_observe(step->what); break;
    case ADD:
        cr_assert_eq(work_list_add(&stage.list, step->what, step->a, stage.now_ms), step->b, "%s",
                     story->name);
        break;
    case WAIT: stage_wait(step->a); return;
    case ANSWER:
        cr_assert_eq(stage_answer(step->what, step->key ? step->key : "a", step->a), 0, "%s",
                     story->name);
        break;
    case RESTART: stage_restart(); return;
    case SAY:
        stage.asks = (int)step->a;
        stage.answers = (int)step->b;
        return;
    case THEN:
        cr_assert_str_eq(stage.happened, step->what, "%s, step %d: %s", story->name,
                         (int)(step - story->steps) + 1, stage.happened);
        stage.happened[0] = '\0';
        return;
    case COUNTS: check_counts(story, step); return;
    }
    stage_settle();
}

static void run_story(const struct story *story)
{
    stage_begin(story->type, story->in_flight_max, story->open_max);
    for (const struct step *step = story->steps; step->kind != END; step++)
        run_step(story, step);
    cr_assert_str_empty(stage.happened, "%s: nobody named it", story->name);
    stage_end();
}
#define RUN_ALL(stories)                                                \
    for (size_t i = 0; i < sizeof(stories) / sizeof((stories)[0]); i++) \
        run_story(&(stories)[i]);

#define STEP(k, ...) { .kind = (k), ##__VA_ARGS__ }
#define OPENED(keys) STEP(OPEN, .what = (keys), .a = 1)
#define OPENED_AS(key, n) STEP(OPEN, .what = (key), .a = (n))
#define WITHIN(keys, ms) STEP(OPEN, .what = (keys), .a = 1, .b = (ms))
#define CLOSED(key, n) STEP(CLOSE, .what = (key), .a = (n))
#define OPENS_ACCOUNT(key) STEP(EVENT, .what = (key))
#define ADDED(key, result) STEP(ADD, .what = (key), .a = 1, .b = (result))
#define WAITED(ms) STEP(WAIT, .a = (ms))
#define ANSWERED(n) STEP(ANSWER, .what = "voided", .a = (n))
#define ANSWERED_FOR(name) STEP(ANSWER, .what = "voided", .a = 1, .key = (name))
#define SILENT STEP(ANSWER, .what = "timeout", .a = 1)
#define UNREACHABLE STEP(ANSWER, .what = "unreachable", .a = 1)
#define RESTARTED STEP(RESTART)
#define SAYS(asks, answers) STEP(SAY, .a = (asks), .b = (answers))
#define DID(text) STEP(THEN, .what = (text))
#define NOTHING DID("")
#define COUNTED(text) STEP(COUNTS, .what = (text))

// clang-format off: stories, read as tables

Test(work_list, a_piece_is_asked_for_until_it_is_answered)
{
    const struct story stories[] = {
        { "once, and then never again", &plain, 2, 4, {
            OPENED("a"), DID("a/1"),
            COUNTED("1 open, 1 in flight, 1 asked, 0 answered, 0 late, 0 expired"),
            CLOSED("a", 1), ANSWERED(1), DID("=a/1"), WAITED(3600000), NOTHING,
            COUNTED("0 open, 0 in flight, 1 asked, 1 answered, 0 late, 0 expired") } },
        { "no answer: again, later and later", &plain, 2, 4, {
            OPENED("a"), DID("a/1"), SILENT, WAITED(99), NOTHING, WAITED(101), DID("a/1"),
            UNREACHABLE, WAITED(199), NOTHING, WAITED(201), DID("a/1"),
            SILENT, WAITED(399), NOTHING, WAITED(401), DID("a/1") } },
        { "an answer that got lost inside is no answer", &plain, 2, 4, {
            OPENED("a"), DID("a/1"), WAITED(LOST_MS + 99), NOTHING, WAITED(101), DID("a/1") } },
        { "a late answer counts, because it belongs to the piece", &plain, 2, 4, {
            OPENED("a"), DID("a/1"), SILENT, CLOSED("a", 1), ANSWERED(1), DID("=a/1"),
            WAITED(60000), NOTHING,
            COUNTED("0 open, 0 in flight, 1 asked, 1 answered, 1 late, 0 expired") } },
        { "a time-out that is told twice is told once", &plain, 2, 4, {
            OPENED("a"), DID("a/1"), SILENT, SILENT, UNREACHABLE, WAITED(200), DID("a/1") } },
        { "an answer about nothing that is known is passed on: the tables decide", &plain, 2, 4, {
            ANSWERED(7), DID("=a/7"), SAYS(0, WORK_AGAIN), ANSWERED(7), DID("=a/7") } },
        { "an answer that says no more than: again", &plain, 2, 4, {
            SAYS(0, WORK_AGAIN), OPENED("a"), DID("a/1"), ANSWERED(1), DID("=a/1"),
            WAITED(99), NOTHING, WAITED(101), DID("a/1") } },
        { "not now", &plain, 2, 4, {
            SAYS(WORK_AGAIN, 0), OPENED("a"), NOTHING, WAITED(99), SAYS(0, 0),
            WAITED(101), DID("a/1") } },
        { "nobody wants it any more", &plain, 2, 4, {
            OPENED("a"), DID("a/1"), SAYS(WORK_GONE, 0), SILENT, WAITED(60000),
            COUNTED("0 open, 0 in flight, 1 asked, 0 answered, 0 late, 0 expired") } },
        { "two numbers of one key are two pieces", &plain, 2, 4, {
            OPENED("a"), OPENED_AS("a", 2), DID("a/1 a/2"), CLOSED("a", 2), ANSWERED(2),
            DID("=a/2"), WAITED(LOST_MS + 200), DID("a/1") } },
    };
    RUN_ALL(stories);
}

Test(work_list, a_piece_expires_at_its_deadline)
{
    const struct story stories[] = {
        { "passes while in flight", &plain, 2, 4, {
            WITHIN("a", 500), DID("a/1"), WAITED(499), NOTHING, CLOSED("a", 1),
            WAITED(1), DID("!a/1"), WAITED(60000), NOTHING,
            COUNTED("0 open, 0 in flight, 1 asked, 0 answered, 0 late, 1 expired") } },
        { "passes while it rests", &plain, 2, 4, {
            WITHIN("a", 50), DID("a/1"), SILENT, WAITED(49), NOTHING, CLOSED("a", 1),
            WAITED(1), DID("!a/1") } },
        { "had passed when it was found", &plain, 2, 4, { WITHIN("a", -1), DID("!a/1") } },
        { "nobody is asked, only the deadline counts", &deadline, 0, 0, {
            WITHIN("a", 500), WITHIN("b", 300), WAITED(299), NOTHING, WAITED(1), DID("!b/1"),
            WAITED(200), DID("!a/1"),
            COUNTED("0 open, 0 in flight, 0 asked, 0 answered, 0 late, 2 expired") } },
        { "nobody wants to hear of it", &prepared, 2, 4, {
            DID("all"), WITHIN("a", 500), DID("a/1"), CLOSED("a", 1), WAITED(60000),
            COUNTED("0 open, 0 in flight, 1 asked, 0 answered, 0 late, 1 expired") } },
    };
    RUN_ALL(stories);
}

Test(work_list, the_list_keeps_its_limits)
{
    const struct story stories[] = {
        { "two in flight: each answer lets the next one out", &plain, 2, 4, {
            OPENED("a b c d e f g h"), DID("a/1 b/1"), CLOSED("a", 1), ANSWERED(1),
            DID("=a/1 c/1"), WAITED(1000), NOTHING,
            COUNTED("2 open, 2 in flight, 3 asked, 1 answered, 0 late, 0 expired") } },
        { "one that rests gives its place in flight to the next", &plain, 1, 2, {
            OPENED("a b"), DID("a/1"), SILENT, DID("b/1"), WAITED(1000), NOTHING,
            COUNTED("2 open, 1 in flight, 2 asked, 0 answered, 0 late, 0 expired") } },
        { "one that is silent makes room for others, and gets its turn again", &plain, 1, 1, {
            OPENED("a"), DID("a/1"), SAYS(WORK_AGAIN, 0), SILENT, WAITED(60000),
            OPENED("b"), WAITED(30000), SAYS(0, 0), WAITED(10000), DID("b/1"),
            CLOSED("b", 1), ANSWERED_FOR("b"), DID("=b/1 a/1") } },
        { "what no table has is never forgotten for others", &plain, 1, 1, {
            ADDED("a", 0), DID("a/1"), OPENED("b"), SAYS(WORK_AGAIN, 0), SILENT, WAITED(3600000),
            SAYS(0, 0), WAITED(30000), DID("a/1 a/1"), ANSWERED(1), DID("=a/1 b/1") } },
        { "in order: one after another, and nobody overtakes", &ordered, 5, 50, {
            OPENED("a b"), DID("a/1"), SAYS(WORK_AGAIN, 0), SILENT, WAITED(3600000), SAYS(0, 0),
            WAITED(30000), DID("a/1 a/1"), ANSWERED(1), DID("=a/1 b/1"),
            COUNTED("1 open, 1 in flight, 4 asked, 1 answered, 0 late, 0 expired") } },
        { "added twice is known, added to a full list is refused", &sourceless, 1, 2, {
            ADDED("a", 0), ADDED("a", WORK_KNOWN), ADDED("b", 0), ADDED("c", WORK_FULL),
            DID("a/1"), ANSWERED(1), DID("b/1") } },
    };
    RUN_ALL(stories);
}

Test(work_list, open_pieces_are_found_again_after_a_restart)
{
    const struct story stories[] = {
        { "all that is open is asked for again", &plain, 4, 8, {
            OPENED("a b c"), DID("a/1 b/1 c/1"), CLOSED("b", 1), RESTARTED, DID("a/1 c/1") } },
        { "what was only added is lost", &plain, 4, 8, {
            ADDED("a", 0), DID("a/1"), RESTARTED } },
        { "behind the mark, which moves when nothing is open", &marked, 4, 8, {
            OPENED("a b"), DID("a/1 b/1"), ANSWERED(1), DID("=a/1"),
            RESTARTED, DID("a/1 b/1"), ANSWERED(1), DID("=a/1"),
            SAYS(WORK_GONE, 0), WAITED(60000), SAYS(0, 0), RESTARTED, NOTHING,
            OPENED("c"), DID("c/1") } },
        { "in its memory goes what an event has named, and all is prepared", &prepared, 4, 8, {
            DID("all"), OPENS_ACCOUNT("acc_1"), DID("acc_1"), RESTARTED, DID("all") } },
    };
    RUN_ALL(stories);
}
// clang-format on

/* ---- What is no story ------------------------------------------------------------------------ */

Test(work_list, the_tables_are_read_again_when_find_asks_for_it)
{
    stage_begin(&plain, 2, 0);
    stage.look_ms = stage.now_ms + 500;
    stage_observe("");
    stage_settle();
    stage_open("a", 1, 0);
    stage.row_count = 0; /* seen by no event, and before what was found */
    stage_wait(499);
    stage.row_count = 1;
    cr_assert_str_empty(stage.happened);
    cr_assert_eq(work_list_due_ms(&stage.list, stage.now_ms), stage.look_ms);
    stage_wait(1);
    cr_assert_str_eq(stage.happened, "a/1");
    stage_end();
}

Test(work_list, the_tables_are_read_at_most_every_10_ms)
{
    stage_begin(&plain, 2, 0);
    stage.looks_at_once = 1;
    stage_observe("");
    stage_settle();
    cr_assert_eq(work_list_due_ms(&stage.list, stage.now_ms), stage.now_ms + 10);
    stage_end();
}

Test(work_list, the_row_is_passed_on_only_in_the_step_that_read_it)
{
    stage_begin(&plain, 2, 0);
    stage.reads_rows = 1;
    stage_open("a", 1, 0);
    stage_observe("");
    stage_settle();
    cr_assert_eq(stage.seen_row, &stage.rows[0]);
    stage_wait(LOST_MS + 200);
    cr_assert_str_eq(stage.happened, "a/1 a/1");
    cr_assert_null(stage.seen_row);
    stage_end();
}

Test(work_list, too_many_keys_prepare_all)
{
    stage_begin(&prepared, 2, 0);
    stage.happened[0] = '\0';
    for (int i = 0; i <= WORK_PREPARE_MAX; i++)
        stage_observe("acc");
    stage_settle();
    cr_assert_str_eq(stage.happened, "all");
    stage_end();
}

Test(work_list, the_age_of_the_oldest_piece_is_reported)
{
    struct work_counts counts;
    stage_begin(&sourceless, 2, 0);
    work_list_counts(&stage.list, &counts);
    cr_assert_str_eq(counts.name, "test");
    cr_assert_eq(counts.oldest_ms, INT64_MAX);
    cr_assert_eq(work_list_add(&stage.list, "a", 1, stage.now_ms), 0);
    stage.now_ms += 10;
    cr_assert_eq(work_list_add(&stage.list, "b", 1, stage.now_ms), 0);
    work_list_counts(&stage.list, &counts);
    cr_assert_eq(counts.oldest_ms, stage.now_ms - 10);
    stage_settle();
    stage_end();
}

/* A mistake in a service's table is a failure that is named, and not a list that does nothing. */
Test(work_list, mistakes_of_a_work_type_are_named)
{
    static const char *long_key =
        "0123456789012345678901234567890123456789012345678901234567890123";
    stage_begin(&plain, 2, 0);
    struct journey j;
    stage_journey(&j);
    cr_assert_eq(work_list_add(&stage.list, long_key, 1, stage.now_ms), -ERR_INTERNAL);
    stage.asks = -1; /* says that it has asked, without a call */
    stage_open("a", 1, 0);
    stage_observe("");
    cr_assert_eq(work_list_step(&stage.list, &j), -ERR_INTERNAL);
    stage.asks = 7;
    cr_assert_eq(work_list_step(&stage.list, &j), -ERR_INTERNAL);
    stage.answers = 7;
    cr_assert_eq(stage_answer("voided", "a", 1), -ERR_INTERNAL);
    stage_end();

    static const struct work_source five[] = {
        { .find = stage_find }, { .find = stage_find }, { .find = stage_find },
        { .find = stage_find }, { .find = stage_find }, { 0 },
    };
    static const struct work_type many = { .name = "many", .sources = five };
    cr_assert_eq(work_list_init(&stage.list, &many, &j), -ERR_INTERNAL);
    work_list_deinit(&stage.list);
}

Test(work_list, limits_are_bounded)
{
    static const struct {
        struct work_limits given, taken;
    } rows[] = {
        { { 0, 0, 0, 0, 0, 0, 0 }, { 1, 8, 1, 0, 16, 1, 1 } },
        { { 1 << 30, 1 << 30, 1 << 30, 1 << 30, 1 << 30, 1 << 30, 1 << 30 },
          { 3600000, 3600000, 65536, 65536, 1 << 20, 3600000, 3600000 } },
        { { 5, 0, 10, 4, 3, 50, 20 }, { 5, 40, 10, 4, 10, 20, 20 } },
        { { 500, 20, 10, -1, 3, 50, 20 }, { 500, 500, 10, 0, 10, 20, 20 } },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        stage = (struct stage){ .limits = rows[i].given };
        struct journey j;
        stage_journey(&j);
        cr_assert_eq(work_list_init(&stage.list, &sourceless, &j), 0);
        cr_assert_arr_eq(&stage.list.limits, &rows[i].taken, sizeof(rows[i].taken), "row %zu", i);
        work_list_deinit(&stage.list);
    }
}
