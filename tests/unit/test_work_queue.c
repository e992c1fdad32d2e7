/* Work queue: pieces are found by key and by time whatever happens to them (a walk beside a plain
 * list), rests grow and are the same each time, and a move that the picture does not have ends the
 * program. */
#include "runtime/writer/work_queue.h"
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static struct work_queue queue;

static void open_queue(void)
{
    cr_assert_eq(work_queue_init(&queue, "test", 4, 2, 0), 0);
}
static void close_queue(void)
{
    work_queue_deinit(&queue);
}
TestSuite(work_queue, .init = open_queue, .fini = close_queue);

Test(work_queue, a_full_queue_refuses_a_piece)
{
    for (int i = 0; i < 4; i++)
        cr_assert(work_queue_add(&queue, "key", i, 10 + i, INT64_MAX));
    cr_assert_null(work_queue_add(&queue, "key", 4, 14, INT64_MAX));
    cr_assert_eq(work_queue_oldest_ms(&queue), 10);
    work_queue_remove(&queue, work_queue_find(&queue, "key", 0));
    cr_assert_eq(work_queue_oldest_ms(&queue), 11);
    cr_assert(work_queue_add(&queue, "key", 4, 14, INT64_MAX));
    cr_assert_null(work_queue_find(&queue, "key", 0));
    cr_assert_null(work_queue_find(&queue, "kez", 4));
}

Test(work_queue, the_queue_is_due_with_its_first_piece)
{
    cr_assert_eq(work_queue_due_ms(&queue), INT64_MAX);
    cr_assert_eq(work_queue_oldest_ms(&queue), INT64_MAX);
    struct piece *a = work_queue_add(&queue, "a", 1, 10, INT64_MAX);
    struct piece *b = work_queue_add(&queue, "b", 1, 10, 50);
    struct piece *c = work_queue_add(&queue, "c", 1, 10, INT64_MAX);
    cr_assert_eq(work_queue_due_ms(&queue), 10);
    work_queue_send(&queue, a, 100);
    work_queue_send(&queue, b, 100); /* its deadline is before */
    cr_assert_not(work_queue_may_send(&queue));
    cr_assert_eq(work_queue_due_ms(&queue), 50, "c waits for a place");
    cr_assert_null(work_queue_first_in_flight(&queue, 49));
    cr_assert_eq(work_queue_first_in_flight(&queue, 50), b);
    cr_assert_eq(work_queue_first_waiting(&queue, 50), c);
    work_queue_rest(&queue, a, 30);
    cr_assert_eq(work_queue_due_ms(&queue), 10);
    cr_assert_eq(a->tries, 1);
    work_queue_remove(&queue, c);
    cr_assert_eq(work_queue_due_ms(&queue), 30);
    cr_assert_null(work_queue_first_waiting(&queue, 29));
    work_queue_wake(&queue, work_queue_first_waiting(&queue, 30));
    cr_assert_eq(a->state, PIECE_DUE);
}

Test(work_queue, a_piece_in_flight_is_not_sent_again, .signal = SIGABRT)
{
    struct piece *a = work_queue_add(&queue, "a", 1, 10, INT64_MAX);
    work_queue_send(&queue, a, 100);
    work_queue_send(&queue, a, 100);
}

Test(work_queue, no_more_than_the_limit_is_in_flight_W2, .signal = SIGABRT)
{
    for (int i = 0; i < 3; i++)
        work_queue_send(&queue, work_queue_add(&queue, "a", i, 10, INT64_MAX), 100);
}

Test(work_queue, each_piece_in_flight_has_a_due_time_W5, .signal = SIGABRT)
{
    work_queue_send(&queue, work_queue_add(&queue, "a", 1, 10, INT64_MAX), INT64_MAX);
}

Test(work_queue, the_counts_agree_with_the_pieces_W1, .signal = SIGABRT)
{
    work_queue_add(&queue, "a", 1, 10, INT64_MAX);
    queue.open--;
    work_queue_add(&queue, "b", 1, 10, INT64_MAX);
}

Test(work_queue, back_off_grows_and_is_the_same_in_each_run)
{
    static const struct {
        int tries, min_ms, max_ms;
        int64_t least_ms, most_ms;
    } rows[] = {
        { 0, 200, 30000, 100, 200 },     { 1, 200, 30000, 200, 400 },
        { 2, 200, 30000, 400, 800 },     { 7, 200, 30000, 12800, 25600 },
        { 8, 200, 30000, 15000, 30000 }, { 1000000, 200, 30000, 15000, 30000 },
        { 5, 100, 100, 50, 100 },        { 0, 1, 1, 0, 1 },
    };
    int64_t others = 0;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct piece piece = { .tries = rows[i].tries, .key = "ord_1" }, other = piece;
        int64_t rest_ms = piece_backoff_ms(&piece, rows[i].min_ms, rows[i].max_ms);
        cr_assert(rest_ms >= rows[i].least_ms && rest_ms <= rows[i].most_ms, "row %zu", i);
        cr_assert_eq(piece_backoff_ms(&piece, rows[i].min_ms, rows[i].max_ms), rest_ms);
        other.key[4] = '2';
        others += piece_backoff_ms(&other, rows[i].min_ms, rows[i].max_ms) != rest_ms;
    }
    cr_assert(others >= 5, "two keys that failed together come back together");
}

/* ---- A walk ---------------------------------------------------------------------------------- */

#define WALK_OPEN_MAX 50
#define WALK_STEPS 20000

struct twin { /* what a plain list remembers of a piece */
    int64_t number, due_ms, until_ms, since_ms;
    enum piece_state state;
};

static struct twin twins[WALK_OPEN_MAX];
static int twin_count;
static uint64_t dice = 1;

static int draw(int n)
{
    dice = dice * 6364136223846793005u + 1442695040888963407u;
    return (int)((dice >> 33) % (uint64_t)n);
}

static int in_flight_count(void)
{
    int count = 0;
    for (int i = 0; i < twin_count; i++)
        count += twins[i].state == PIECE_IN_FLIGHT;
    return count;
}

static void compare_due(void)
{
    int64_t due_ms = INT64_MAX, oldest_ms = INT64_MAX;
    _Bool may_send = in_flight_count() < queue.in_flight_max;
    for (int i = 0; i < twin_count; i++) {
        if (twins[i].due_ms < due_ms && (may_send || twins[i].state == PIECE_IN_FLIGHT))
            due_ms = twins[i].due_ms;
        if (twins[i].since_ms < oldest_ms)
            oldest_ms = twins[i].since_ms;
    }
    cr_assert_eq(work_queue_due_ms(&queue), due_ms);
    cr_assert_eq(work_queue_oldest_ms(&queue), oldest_ms);
    cr_assert_eq(work_queue_may_send(&queue), may_send);
}

static void walk_add(int64_t now_ms)
{
    int64_t number = draw(1000);
    if (work_queue_find(&queue, "walk", number))
        return;
    int64_t until_ms = draw(2) ? INT64_MAX : now_ms + draw(300);
    struct piece *piece = work_queue_add(&queue, "walk", number, now_ms, until_ms);
    cr_assert_eq(piece == NULL, twin_count == WALK_OPEN_MAX);
    if (piece)
        twins[twin_count++] = (struct twin){ number, now_ms, until_ms, now_ms, PIECE_DUE };
}

static void walk_move(struct twin *twin, int64_t now_ms)
{
    struct piece *piece = work_queue_find(&queue, "walk", twin->number);
    cr_assert(piece && piece->state == twin->state && piece->due_ms == twin->due_ms);
    int64_t due_ms = now_ms + draw(100);
    _Bool sends = twin->state == PIECE_DUE && draw(3) && work_queue_may_send(&queue);
    if (twin->state == PIECE_RESTING) {
        work_queue_wake(&queue, piece);
        twin->state = PIECE_DUE;
        return;
    }
    if (sends)
        work_queue_send(&queue, piece, due_ms);
    else
        work_queue_rest(&queue, piece, due_ms);
    twin->state = sends ? PIECE_IN_FLIGHT : PIECE_RESTING;
    twin->due_ms = due_ms < twin->until_ms ? due_ms : twin->until_ms;
}

Test(work_queue, the_queue_agrees_with_a_plain_list)
{
    work_queue_deinit(&queue);
    cr_assert_eq(work_queue_init(&queue, "walk", WALK_OPEN_MAX, 7, 0), 0);
    for (int64_t now_ms = 1; now_ms <= WALK_STEPS; now_ms++) {
        int what = draw(10), i = twin_count > 0 ? draw(twin_count) : 0;
        if (what < 4 || twin_count == 0) {
            walk_add(now_ms);
        } else if (what < 8) {
            walk_move(&twins[i], now_ms);
        } else {
            work_queue_remove(&queue, work_queue_find(&queue, "walk", twins[i].number));
            twins[i] = twins[--twin_count];
        }
        compare_due();
    }
}
