/* Inbox: the limit on requests, the order of items, and how a taker is woken. */
#include "base/clock.h"
#include "runtime/request/inbox.h"
#include <criterion/criterion.h>

static struct inbox inbox;

static void open_inbox(void)
{
    inbox_init(&inbox, 3);
}
static void close_inbox(void)
{
    inbox_deinit(&inbox);
}
TestSuite(inbox, .init = open_inbox, .fini = close_inbox);

static int push(enum item_kind kind)
{
    struct item *item = item_new(kind);
    int r = inbox_push(&inbox, item);
    if (r != 0)
        item_free(item);
    return r;
}

Test(inbox, requests_are_bounded_and_events_are_not)
{
    for (int i = 0; i < 3; i++)
        cr_assert_eq(push(ITEM_COMMAND), 0);
    cr_assert_eq(push(ITEM_COMMAND), REFUSED_BUSY);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(push(ITEM_EVENT), 0);
    cr_assert_eq(inbox_length(&inbox), 13);
    struct item *items[4];
    cr_assert_eq(inbox_take(&inbox, items, 4, clock_monotonic_ms()), 4);
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(items[i]->kind, i % 2 ? ITEM_COMMAND : ITEM_EVENT, "they take turns");
        item_free(items[i]);
    }
    cr_assert_eq(push(ITEM_COMMAND), 0, "there is room again");
}

static int push_of(uint32_t client)
{
    struct item *item = item_new(ITEM_COMMAND);
    item->client = client;
    int r = inbox_push(&inbox, item);
    if (r != 0)
        item_free(item);
    return r;
}

/* 640 places: 80 are for clients that hold less than 10. */
Test(inbox, one_client_that_sends_without_end_leaves_room_and_turns_to_the_others)
{
    struct item *items[4];
    inbox_deinit(&inbox);
    inbox_init(&inbox, 640);
    for (int i = 0; i < 560; i++)
        cr_assert_eq(push_of(1), 0);
    cr_assert_eq(push_of(1), REFUSED_BUSY);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(push_of(2), 0);
    cr_assert_eq(push_of(2), REFUSED_BUSY);
    cr_assert_eq(push_of(300), 0);
    cr_assert_eq(inbox_take(&inbox, items, 4, INBOX_NO_WAIT), 4);
    const uint32_t clients[] = { 1, 2, 300, 1 };
    for (int i = 0; i < 4; i++) {
        cr_expect_eq(items[i]->client, clients[i], "%d: %u", i, items[i]->client);
        item_free(items[i]);
    }
}

Test(inbox, items_that_are_put_back_come_first_in_their_order)
{
    for (int before = 0; before < 2; before++) { /* alone, and beside a request, whose turn it is */
        struct item *items[5], *first = item_new(ITEM_EVENT), *second = item_new(ITEM_EVENT);
        if (before)
            cr_assert_eq(push(ITEM_COMMAND), 0);
        first->next = second;
        inbox_put_back(&inbox, first, &second->next);
        cr_assert_eq(push(ITEM_ANSWER), 0);
        cr_assert_eq(inbox_length(&inbox), 3 + before);
        cr_assert_eq(inbox_take(&inbox, items, 5, clock_monotonic_ms()), 3 + before);
        cr_assert(items[before] == first && items[1 + before] == second &&
                  items[2 + before]->kind == ITEM_ANSWER);
        for (int i = 0; i < 3 + before; i++)
            item_free(items[i]);
    }
}

Test(inbox, a_closed_inbox_gives_its_items_and_takes_no_request)
{
    struct item *items[4];
    push(ITEM_COMMAND);
    inbox_close(&inbox);
    cr_assert_eq(push(ITEM_COMMAND), REFUSED_BUSY);
    cr_assert_eq(push(ITEM_ANSWER), 0);
    cr_assert_eq(inbox_take(&inbox, items, 4, INT64_MAX / 2), 2);
    item_free(items[0]);
    item_free(items[1]);
    cr_assert_eq(inbox_take(&inbox, items, 4, INT64_MAX / 2), 0,
                 "closed and empty: it does not wait");
}

Test(inbox, a_taker_returns_at_the_timeout_or_when_it_is_woken)
{
    struct item *items[1];
    cr_assert_eq(inbox_take(&inbox, items, 1, clock_monotonic_ms() + 20), 0);
    inbox_wake(&inbox);
    cr_assert_eq(inbox_take(&inbox, items, 1, INT64_MAX / 2), 0);
}

static void *push_later(void *count)
{
    for (int i = 0; i < *(int *)count; i++)
        push(ITEM_EVENT);
    return NULL;
}

Test(inbox, many_threads_push_and_one_takes)
{
    int count = 5000, taken = 0;
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, push_later, &count);
    struct item *items[64];
    while (taken < 4 * count) {
        int n = inbox_take(&inbox, items, 64, clock_monotonic_ms() + 10000);
        cr_assert_gt(n, 0, "%d of %d came", taken, 4 * count);
        taken += n;
        for (int i = 0; i < n; i++)
            item_free(items[i]);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(inbox_length(&inbox), 0);
}
