/* Race: many threads push into the inbox, one thread takes, and the inbox is closed meanwhile. Each
 * item must arrive once, in the order of its thread and kind, and a refused request must not
 * arrive. This is a plain program, so that ThreadSanitizer sees all threads. */
#include "base/clock.h"
#include "runtime/request/inbox.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define PUSHERS 6
#define ITEMS 20000 /* of each pusher */
#define QUEUE_MAX 64
#define TAKE_MAX 32

static struct inbox inbox;
static atomic_int pushers_left = PUSHERS;

struct pusher {
    pthread_t thread;
    int number;
    int accepted, refused;
    int taken; /* written by the taker alone */
    int64_t last_event, last_request;
};
static struct pusher pushers[PUSHERS];

/* Every fourth item is an event, which is never refused; requests above the limit are. */
static void *push_all(void *argument)
{
    struct pusher *pusher = argument;
    for (int i = 1; i <= ITEMS; i++) {
        struct item *item = item_new(i % 4 ? ITEM_COMMAND : ITEM_EVENT);
        if (!item)
            abort();
        item->feed = pusher->number;
        item->received_ns = i;
        if (inbox_push(&inbox, item) == 0) {
            pusher->accepted++;
        } else {
            pusher->refused++;
            item_free(item);
        }
        if (i % 1000 == 0)
            inbox_wake(&inbox);
        if (pusher->number == 0 && i == ITEMS / 2)
            inbox_close(&inbox);
    }
    if (atomic_fetch_sub(&pushers_left, 1) == 1)
        inbox_wake(&inbox);
    return NULL;
}

static int take_all(void)
{
    struct item *items[TAKE_MAX];
    int wrong = 0;
    for (;;) {
        _Bool was_last = atomic_load(&pushers_left) == 0;
        int count = inbox_take(&inbox, items, TAKE_MAX, clock_monotonic_ms() + 10);
        if (count == 0 && was_last)
            return wrong;
        for (int i = 0; i < count; i++) {
            struct pusher *pusher = &pushers[items[i]->feed];
            /* events keep their order, and requests theirs: the inbox takes them in turns */
            int64_t *last = items[i]->kind == ITEM_EVENT ? &pusher->last_event
                                                         : &pusher->last_request;
            if (items[i]->received_ns <= *last) {
                printf("an item of thread %d came out of order\n", pusher->number);
                wrong++;
            }
            *last = items[i]->received_ns;
            pusher->taken++;
            item_free(items[i]);
        }
    }
}

int main(void)
{
    if (inbox_init(&inbox, QUEUE_MAX) < 0)
        return 2;
    for (int i = 0; i < PUSHERS; i++) {
        pushers[i].number = i;
        if (pthread_create(&pushers[i].thread, NULL, push_all, &pushers[i]) != 0)
            return 2;
    }
    int wrong = take_all(), refused = 0;
    for (int i = 0; i < PUSHERS; i++) {
        pthread_join(pushers[i].thread, NULL);
        refused += pushers[i].refused;
        if (pushers[i].taken != pushers[i].accepted) {
            printf("of thread %d, %d items were accepted and %d arrived\n", i, pushers[i].accepted,
                   pushers[i].taken);
            wrong++;
        }
    }
    if (inbox_length(&inbox) != 0 || refused == 0) {
        printf("%d items are left; %d were refused, and some should have been\n",
               inbox_length(&inbox), refused);
        wrong++;
    }
    inbox_deinit(&inbox);
    printf("%d passed, %d failed\n", wrong == 0, wrong);
    return wrong ? 1 : 0;
}
