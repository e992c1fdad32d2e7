/* Inbox: see inbox.h. */
#include "runtime/request/inbox.h"
#include "base/condition.h"
#include <assert.h>

void inbox_check(const struct inbox *inbox)
{
    const struct fair_queue *requests = &inbox->requests;
    assert(!inbox->first == (inbox->length == requests->length));       /* N1 */
    assert(inbox->first || inbox->last == &inbox->first);               /* N1 */
    assert(!*inbox->last);                                              /* N2 */
    assert(requests->length >= 0 && requests->length <= inbox->length); /* N3 */
    assert(requests->length <= requests->max);                          /* N3 */
}

int inbox_init(struct inbox *inbox, int queue_max)
{
    assert(queue_max > 0);
    *inbox = (struct inbox){ 0 };
    fair_queue_init(&inbox->requests, queue_max);
    inbox->last = &inbox->first;
    pthread_mutex_init(&inbox->lock, NULL);
    condition_init(&inbox->filled);
    return 0;
}

void inbox_deinit(struct inbox *inbox)
{
    fair_queue_deinit(&inbox->requests);
    item_list_free(inbox->first);
    inbox->first = NULL;
    pthread_cond_destroy(&inbox->filled);
    pthread_mutex_destroy(&inbox->lock);
}

static _Bool is_request(const struct item *item)
{
    return item->kind == ITEM_COMMAND;
}

static void append(struct inbox *inbox, struct item *item)
{
    item->next = NULL;
    *inbox->last = item;
    inbox->last = &item->next;
}

int inbox_push(struct inbox *inbox, struct item *item)
{
    int result = 0;
    _Bool was_empty = 0;
    pthread_mutex_lock(&inbox->lock);
    if (is_request(item) &&
        (inbox->closed || !fair_queue_has_room(&inbox->requests, item->client))) {
        result = REFUSED_BUSY;
    } else {
        if (is_request(item))
            fair_queue_add(&inbox->requests, item);
        else
            append(inbox, item);
        was_empty = inbox->length++ == 0;
        inbox_check(inbox);
    }
    pthread_mutex_unlock(&inbox->lock);
    if (was_empty) /* after the unlock: the taker would wake up only to wait for the lock */
        pthread_cond_signal(&inbox->filled);
    return result;
}

/* Under the lock: events that end at *last. */
static void count_in(struct inbox *inbox, const struct item *first, struct item *const *last)
{
    assert(first && !*last);
    (void)last; /* without assertions */
    for (const struct item *item = first; item; item = item->next) {
        assert(!is_request(item)); /* those are in `requests` */
        inbox->length++;
    }
}

void inbox_push_events(struct inbox *inbox, struct item *first, struct item **last)
{
    pthread_mutex_lock(&inbox->lock);
    count_in(inbox, first, last);
    *inbox->last = first;
    inbox->last = last;
    inbox_check(inbox);
    pthread_mutex_unlock(&inbox->lock);
    pthread_cond_signal(&inbox->filled);
}

void inbox_put_back(struct inbox *inbox, struct item *first, struct item **last)
{
    pthread_mutex_lock(&inbox->lock);
    count_in(inbox, first, last);
    *last = inbox->first;
    if (!inbox->first)
        inbox->last = last;
    inbox->first = first;
    inbox_check(inbox);
    pthread_mutex_unlock(&inbox->lock);
}

void inbox_close(struct inbox *inbox)
{
    pthread_mutex_lock(&inbox->lock);
    inbox->closed = 1;
    pthread_cond_signal(&inbox->filled);
    pthread_mutex_unlock(&inbox->lock);
}

void inbox_wake(struct inbox *inbox)
{
    pthread_mutex_lock(&inbox->lock);
    inbox->woken = 1;
    pthread_cond_signal(&inbox->filled);
    pthread_mutex_unlock(&inbox->lock);
}

int inbox_length(struct inbox *inbox)
{
    pthread_mutex_lock(&inbox->lock);
    int length = inbox->length;
    pthread_mutex_unlock(&inbox->lock);
    return length;
}

_Bool inbox_has_requests(struct inbox *inbox)
{
    pthread_mutex_lock(&inbox->lock);
    _Bool has_requests = inbox->requests.length > 0;
    pthread_mutex_unlock(&inbox->lock);
    return has_requests;
}

static _Bool is_due(const struct inbox *inbox)
{
    return inbox->length > 0 || inbox->closed || inbox->woken;
}

_Bool inbox_is_due(struct inbox *inbox)
{
    pthread_mutex_lock(&inbox->lock);
    _Bool due = is_due(inbox);
    pthread_mutex_unlock(&inbox->lock);
    return due;
}

/* Under the lock; something is there. */
static struct item *take_one(struct inbox *inbox)
{
    struct item *item = inbox->first;
    assert(inbox->length > 0);
    if (!item || (inbox->is_requests_turn && inbox->requests.length > 0)) {
        item = fair_queue_take(&inbox->requests);
    } else {
        inbox->first = item->next;
        item->next = NULL;
        if (!inbox->first)
            inbox->last = &inbox->first;
    }
    inbox->is_requests_turn = !is_request(item);
    inbox->length--;
    return item;
}

int inbox_take(struct inbox *inbox, struct item **items, int max, int64_t deadline_ms)
{
    int count = 0;
    pthread_mutex_lock(&inbox->lock);
    while (deadline_ms != INBOX_NO_WAIT && !is_due(inbox))
        if (condition_wait(&inbox->filled, &inbox->lock, deadline_ms) != 0)
            break;
    inbox->woken = 0;
    while (count < max && inbox->length > 0)
        items[count++] = take_one(inbox);
    inbox_check(inbox);
    pthread_mutex_unlock(&inbox->lock);
    return count;
}
