/* Outbound: the subjects that answers come to, the mailbox that others' notes wait in, and the
 * places of others' durables. */
#include <pthread.h>
#include <unistd.h>
#include "base/clock.h"
#include "runtime/outbound/mailbox.h"
#include "runtime/outbound/reply_subject.h"
#include "runtime/outbound/stream_keep.h"
#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

#define INBOX "_INBOX.order-svc.abc"

/* ---- Reply subjects ------------------------------------------------------------------------- */

Test(outbound, an_answer_says_what_it_answers)
{
    reply_subject subject;
    int64_t epoch = 0, number = 0;
    struct reply_tag read, asked = { .part = PART_FEED + 7, .step = 's', .epoch = 12, .n = -3 };
    reply_subject_of_ack(subject, INBOX, 5, 17);
    cr_assert_str_eq(subject, INBOX ".a.5.17");
    cr_assert(reply_subject_read_ack(subject, INBOX, &epoch, &number));
    cr_assert(epoch == 5 && number == 17);
    reply_subject_of_pull(subject, INBOX, 2, 9, 1000);
    cr_assert_str_eq(subject, INBOX ".f.2.9.1000");
    cr_assert(reply_subject_read_pull(subject, INBOX, &epoch, &number));
    cr_assert(epoch == 9 && number == 1000);
    reply_subject_of_own(subject, INBOX, 3, 8);
    cr_assert_str_eq(subject, INBOX ".o.3.8");
    cr_assert(reply_subject_read_own(subject, INBOX, &epoch, &number));
    cr_assert(epoch == 3 && number == 8);
    reply_subject_of_request(subject, INBOX, &asked);
    cr_assert_str_eq(subject, INBOX ".q.7.s.12.-3");
    cr_assert(reply_subject_read_request(subject, INBOX, &read));
    cr_assert(read.part == '7' && read.step == 's' && read.epoch == 12 && read.n == -3);
}

Test(outbound, an_answer_to_a_work_list_names_the_piece)
{
    static const struct {
        struct call_tag tag;
        const char *subject;
    } rows[] = {
        { { 7, 1, 2, "charge", "ord_019abc12-3456-7def-8123-456789abcdef" },
          INBOX ".w.7.1.2.charge.ord_019abc12-3456-7def-8123-456789abcdef" },
        { { INT64_MAX, 0, -1, "fetch", "a.b *>=/\xc3\xa9" },
          INBOX ".w.9223372036854775807.0.-1.fetch.a=2eb=20=2a=3e=3d=2f=c3=a9" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        reply_subject subject;
        struct call_tag read = { 0 };
        cr_assert(reply_subject_of_call(subject, INBOX, &rows[i].tag));
        cr_assert_str_eq(subject, rows[i].subject);
        cr_assert(reply_subject_read_call(subject, INBOX, &read));
        cr_assert(read.id == rows[i].tag.id && read.call == rows[i].tag.call &&
                  read.number == rows[i].tag.number);
        cr_assert_str_eq(read.work, rows[i].tag.work);
        cr_assert_str_eq(read.key, rows[i].tag.key);
    }
}

Test(outbound, a_piece_that_fits_into_no_subject_is_not_named)
{
    struct call_tag tag = { .id = 1, .work = "fetch" };
    reply_subject subject;
    cr_assert_not(reply_subject_of_call(subject, INBOX, &tag), "without a key");
    memset(tag.key, '.', sizeof(tag.key) - 1);
    cr_assert(reply_subject_of_call(subject, INBOX, &tag));
    memset(tag.work, '.', sizeof(tag.work) - 1);
    cr_assert_not(reply_subject_of_call(subject, INBOX, &tag), "too long");
}

Test(outbound, what_is_no_answer_of_ours_is_not_read)
{
    static const char *const subjects[] = {
        "",
        INBOX,
        INBOX ".a",
        INBOX ".a.",
        INBOX ".a.5",
        INBOX ".a.5.",
        INBOX ".a.5.x",
        INBOX ".a.5.6x",
        INBOX ".a.5.6.7",
        INBOX ".b.5.6",
        "_INBOX.order-svc.abd.a.5.6",
        INBOX ".f.1.2",
        INBOX ".q.r.i.1",
        INBOX ".q.r.i",
        INBOX ".q.rr.i.1.2",
        INBOX ".q.r.ii.1.2",
        INBOX ".q..i.1.2",
        INBOX ".w.1.2.3",
        INBOX ".w.1.2.3.charge",
        INBOX ".w.1.2.3.charge.",
        INBOX ".w.1.2.3..ord_1",
        INBOX ".w.1.2.x.charge.ord_1",
        INBOX ".w.1.2.3.charge.ord_1.more",
        INBOX ".w.1.2.3.charge.ord=00",
        INBOX ".w.1.2.3.charge.ord=5",
        INBOX ".w.1.2.3.charge.ord=zz",
        INBOX ".w.1.2.3.charge.0123456789012345678901234567890123456789012345678901234567890123",
    };
    int64_t one = 0, other = 0;
    struct reply_tag tag;
    struct call_tag call;
    for (size_t i = 0; i < sizeof(subjects) / sizeof(*subjects); i++) {
        cr_expect_not(reply_subject_read_ack(subjects[i], INBOX, &one, &other), "%s", subjects[i]);
        cr_expect_not(reply_subject_read_pull(subjects[i], INBOX, &one, &other), "%s", subjects[i]);
        cr_expect_not(reply_subject_read_own(subjects[i], INBOX, &one, &other), "%s", subjects[i]);
        cr_expect_not(reply_subject_read_request(subjects[i], INBOX, &tag), "%s", subjects[i]);
        cr_expect_not(reply_subject_read_call(subjects[i], INBOX, &call), "%s", subjects[i]);
    }
}

Test(outbound, a_number_that_is_too_large_becomes_the_largest)
{
    int64_t epoch = 0, ahead = 0;
    cr_assert(reply_subject_read_ack(INBOX ".a.99999999999999999999.1", INBOX, &epoch, &ahead));
    cr_assert(epoch == INT64_MAX && ahead == 1);
}

/* ---- The mailbox ---------------------------------------------------------------------------- */

static _Bool says(const void *context)
{
    return *(const _Bool *)context;
}

Test(outbound, notes_come_in_their_order_and_all_at_once)
{
    struct mailbox mailbox;
    _Bool has_work = 0, stopping = 1;
    mailbox_init(&mailbox);
    cr_assert_null(mailbox_take(&mailbox, MAILBOX_NO_WAIT, says, &has_work, &stopping));
    cr_assert_not(stopping);
    cr_assert_not(mailbox_is_due(&mailbox, says, &has_work));
    for (int64_t epoch = 1; epoch <= 3; epoch++)
        mailbox_push(&mailbox, (struct note){ .kind = NOTE_REFUSED, .epoch = epoch });
    cr_assert(mailbox_is_due(&mailbox, says, &has_work));
    struct note *notes = mailbox_take(&mailbox, INT64_MAX / 2, says, &has_work, &stopping);
    for (int64_t epoch = 1; epoch <= 3; epoch++) {
        struct note *next = notes->next;
        cr_assert_eq(notes->epoch, epoch);
        free(notes);
        notes = next;
    }
    cr_assert_null(notes);
    mailbox_deinit(&mailbox);
}

Test(outbound, a_bus_that_has_something_ends_a_wait)
{
    struct mailbox mailbox;
    _Bool has_work = 0, stopping = 1;
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    mailbox_init(&mailbox);
    mailbox.bus_fd = ends[0];
    cr_assert_eq(write(ends[1], "x", 1), 1);
    cr_assert_null(mailbox_take(&mailbox, INT64_MAX / 2, says, &has_work, &stopping));
    cr_assert_not(stopping);
    mailbox_deinit(&mailbox);
}

static void *push_one(void *mailbox)
{
    mailbox_push(mailbox, (struct note){ .kind = NOTE_REFUSED, .epoch = 7 });
    return NULL;
}

Test(outbound, a_note_of_another_thread_ends_a_wait)
{
    struct mailbox mailbox;
    _Bool has_work = 0, stopping = 1;
    pthread_t other;
    mailbox_init(&mailbox);
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(pthread_create(&other, NULL, push_one, &mailbox), 0);
        struct note *note = NULL;
        while (!note) /* the wake-up of the one before may come late */
            note = mailbox_take(&mailbox, INT64_MAX / 2, says, &has_work, &stopping);
        cr_assert(note->epoch == 7 && !note->next);
        free(note);
        pthread_join(other, NULL);
    }
    mailbox_deinit(&mailbox);
}

Test(outbound, work_of_another_kind_and_the_time_end_a_wait)
{
    struct mailbox mailbox;
    _Bool has_work = 1, stopping = 0;
    mailbox_init(&mailbox);
    cr_assert(mailbox_is_due(&mailbox, says, &has_work));
    cr_assert_null(mailbox_take(&mailbox, INT64_MAX / 2, says, &has_work, &stopping));
    has_work = 0;
    cr_assert_null(mailbox_take(&mailbox, clock_monotonic_ms() + 1, says, &has_work, &stopping));
    mailbox_stop(&mailbox);
    cr_assert_null(mailbox_take(&mailbox, MAILBOX_NO_WAIT, says, &has_work, &stopping));
    cr_assert(stopping);
    mailbox_deinit(&mailbox);
}

Test(outbound, a_mailbox_that_goes_takes_what_is_in_it)
{
    struct mailbox mailbox;
    mailbox_init(&mailbox);
    mailbox_push(&mailbox, (struct note){ .kind = NOTE_BATCH, .batch = batch_new() });
    mailbox_push(&mailbox,
                 (struct note){ .kind = NOTE_OPERATOR, .request = item_new(ITEM_REDRIVE) });
    mailbox_push(&mailbox, (struct note){ .kind = NOTE_ANSWER, .request = item_new(ITEM_QUERY) });
    mailbox_deinit(&mailbox);
    cr_assert_null(mailbox.first);
}

Test(outbound, a_note_has_what_its_kind_says, .signal = SIGABRT)
{
    struct mailbox mailbox;
    mailbox_init(&mailbox);
    mailbox_push(&mailbox, (struct note){ .kind = NOTE_BATCH });
}

/* ---- The places of others' durables --------------------------------------------------------- */

Test(outbound, a_place_that_the_server_has_moved_is_not_believed)
{
    static const struct {
        const char *what;
        int64_t position, gain, floor, gone, gone_before, published;
        int64_t place, place_gain;
    } rows[] = {
        { "it has acknowledged more", 7, 2, 12, 0, 0, 300, 12, 5 },
        { "it stands", 7, 2, 7, 0, 0, 300, 7, 0 },
        { "a purge that was seen before the list", 7, 0, 200, 200, 0, 300, 7, 0 },
        { "and in each list after it", 7, 0, 200, 200, 200, 300, 7, 0 },
        { "a purge between the look and the list", 7, 0, 200, 0, 0, 300, 200, 193 },
        { "is found by the next look", 200, 193, 200, 200, 0, 300, 7, 0 },
        { "it has gone on behind the purge", 7, 0, 203, 200, 200, 300, 203, 196 },
        { "it had read what has expired", 50, 0, 50, 50, 40, 300, 50, 0 },
        { "a stranger's message behind our newest event", 7, 2, 9, 0, 0, 8, 8, 1 },
        { "and all before it had been read", 8, 0, 9, 0, 0, 8, 8, 0 },
        { "the stream has lost its end, and it was known", 7, 0, 9, 0, 0, 3, 7, 0 },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct kept_durable before = { .position = rows[i].position, .gain = rows[i].gain };
        const struct kept_place place = stream_keep_place(&before, rows[i].floor, rows[i].gone,
                                                          rows[i].gone_before, rows[i].published);
        cr_expect_eq(place.position, rows[i].place, "%s: %lld", rows[i].what,
                     (long long)place.position);
        cr_expect_eq(place.gain, rows[i].place_gain, "%s: %lld", rows[i].what,
                     (long long)place.gain);
    }
    const struct kept_place first = stream_keep_place(NULL, 9, 20, 0, 300);
    cr_expect(first.position == 9 && first.gain == 0, "one that was not there");
    const struct kept_place ahead = stream_keep_place(NULL, 9, 0, 0, 8);
    cr_expect(ahead.position == 8 && ahead.gain == 0, "likewise, behind our newest event");
}
