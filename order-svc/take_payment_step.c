/* Take payment, step: what is due now. It asks the provider, finds in the tables what there is to
 * ask for, and cancels what was not paid in time. The picture and the rules P1 to P4:
 * take_payment.c. */
#include "schemas/evt.order.OrderCancelled.h"
#include "take_payment.h"
#include <stdio.h>

#define BACKOFF_MIN_MS 200
#define BACKOFF_MAX_MS 30000
#define GRACE_MS 5000 /* past the time-out, before we think that an answer got lost */
#define AGAIN_MS 10   /* to see what a step's own decisions left */
#define RESCAN_MS 1000

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* ---- Asking ---------------------------------------------------------------------------------- */

/* 200 ms, doubled with each try up to 30 s; the upper half of it by an even hash of order and try,
 * so that orders which failed together do not come back together. No dice: a simulation replays
 * it. */
static int64_t backoff_ms(const struct ask *ask)
{
    int64_t delay = ask->tries < 8 ? (int64_t)BACKOFF_MIN_MS << ask->tries : BACKOFF_MAX_MS;
    delay = earlier(delay, BACKOFF_MAX_MS);
    uint32_t hash = 2166136261u ^ (uint32_t)ask->tries;
    for (const char *c = ask->order_id; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619u;
    return delay / 2 + (int64_t)(hash % (uint32_t)(delay / 2 + 1));
}

/* A charge that has been silent for long makes room when others wait in the table (P3). */
void payments_rest(struct payments *p, struct asks *asks, struct ask *ask, int64_t now_ms)
{
    int64_t delay_ms = backoff_ms(ask);
    if (asks == &p->charges && p->charges_more && asks->count == asks->max &&
        delay_ms >= BACKOFF_MAX_MS / 2) {
        p->charges_dropped = 1;
        asks_remove(asks, ask);
        return;
    }
    asks_move(asks, ask, ASK_RESTING, earlier(now_ms + delay_ms, ask->until_ms));
    ask->tries++;
}

static int send_charge(struct payments *p, struct journey *j, struct ask *ask,
                       const struct payment *payment)
{
    int64_t now_ms = journey_now_ms(j);
    if (!payment->card_token) { /* our projection is behind: it was wiped and is being read anew */
        payments_rest(p, &p->charges, ask, now_ms);
        return 0;
    }
    struct charge charge = {
        .order_id = payment->order_id,
        .attempt = payment->attempt,
        .card_token = payment->card_token,
        .amount = payment->amount,
        .tries = ask->tries,
        .timeout_ms = p->timeout_ms,
    };
    asks_move(&p->charges, ask, ASK_SENT,
              earlier(now_ms + p->timeout_ms + GRACE_MS, ask->until_ms));
    return trace(p->provider->charge(j, &charge));
}

static int send_void(struct payments *p, struct journey *j, struct ask *ask)
{
    struct charge charge = {
        .order_id = ask->order_id,
        .attempt = ask->attempt,
        .tries = ask->tries,
        .timeout_ms = p->timeout_ms,
    };
    asks_move(&p->voids, ask, ASK_SENT, journey_now_ms(j) + p->timeout_ms + GRACE_MS);
    return trace(p->provider->take_back(j, &charge));
}

static int cancel_unpaid(struct journey *j, const struct payment *payment)
{
    struct order_cancelled cancelled = {
        .order_id = payment->order_id,
        .account_id = payment->account_id,
        .reason = "payment_deadline",
    };
    int r = journey_follow(j, payment->position);
    if (r == 0)
        r = journey_emit(j, &order_cancelled_schema, payment->order_id, &cancelled);
    return trace(r);
}

/* ---- Scans: from the tables into the memory -------------------------------------------------- */

static int room_for_charges(const struct payments *p)
{
    int room = p->inflight_max - p->charges.sent.count;
    if (room > p->charges.max - p->charges.count)
        room = p->charges.max - p->charges.count;
    return room < STEP_MAX ? room : STEP_MAX;
}

static int take_up(struct payments *p, struct journey *j, const struct payment *payment)
{
    if (asks_find(&p->charges, payment->order_id, payment->attempt))
        return 0;
    int64_t now_ms = journey_now_ms(j);
    struct ask *ask = asks_add(&p->charges, payment->order_id, payment->attempt, now_ms);
    ask->until_ms = payment->pay_until_ms;
    if (payment->pay_until_ms <= now_ms)
        return 0; /* due already: work_on_charges() cancels it */
    return trace(send_charge(p, j, ask, payment));
}

static int scan_charges(struct payments *p, struct journey *j)
{
    if (p->rescan_ms <= journey_now_ms(j)) {
        p->rescan_ms = INT64_MAX;
        p->charge_cursor = 0;
        p->charges_more = 1;
        p->chosen_cursor[0] = '\0';
        p->chosen_more = 1;
    }
    int room = room_for_charges(p);
    if (!p->charges_more || room <= 0)
        return 0;
    int count = payments_to_charge(j, p->charge_cursor, room, p->rows);
    for (int i = 0; i < count; i++) {
        int r = take_up(p, j, &p->rows[i]);
        if (r < 0)
            return trace(r);
        p->charge_cursor = p->rows[i].position;
    }
    if (count < 0)
        return trace(count);
    p->charges_more = count == room;
    if (!p->charges_more && p->charges_dropped) {
        p->charges_dropped = 0;
        p->rescan_ms = journey_now_ms(j) + RESCAN_MS;
    }
    return 0;
}

/* Orders that waited, and whose customer has a new card. */
static int scan_chosen(struct payments *p, struct journey *j)
{
    int r = 0;
    if (p->all_woken || p->woken_count > 0) {
        if (p->all_woken)
            r = payments_choose_cards(j, NULL);
        for (int i = 0; i < p->woken_count && r == 0 && !p->all_woken; i++)
            r = payments_choose_cards(j, p->woken[i]);
        p->woken_count = 0;
        p->all_woken = 0;
        p->chosen_cursor[0] = '\0';
        p->chosen_more = 1;
    }
    int room = room_for_charges(p);
    if (r < 0 || !p->chosen_more || room <= 0)
        return trace(r);
    int count = payments_chosen(j, p->chosen_cursor, room, p->rows);
    for (int i = 0; i < count && r == 0; i++) {
        r = take_up(p, j, &p->rows[i]);
        snprintf(p->chosen_cursor, sizeof(p->chosen_cursor), "%s", p->rows[i].order_id);
    }
    p->chosen_more = count == room;
    return count < 0 ? trace(count) : trace(r);
}

/* Every cancelled order, once: nobody can say after a restart whether its charge had left. */
static int scan_voids(struct payments *p, struct journey *j)
{
    int room = p->voids.max - p->voids.count < STEP_MAX ? p->voids.max - p->voids.count : STEP_MAX;
    /* cppcheck-suppress knownConditionTrueFalse ; cppcheck takes room for the number of rows, see
     * the end */
    if (!p->voids_more || room <= 0)
        return 0;
    int count = payments_cancelled(j, p->void_cursor, room, p->rows);
    for (int i = 0; i < count; i++) {
        if (!asks_find(&p->voids, p->rows[i].order_id, p->rows[i].attempt))
            asks_add(&p->voids, p->rows[i].order_id, p->rows[i].attempt, journey_now_ms(j));
        p->void_cursor = p->rows[i].position;
    }
    p->voids_more = count == room;
    return count < 0 ? trace(count) : 0;
}

/* The mark moves when no void is open before it, so a restart asks for a few once more, never for
 * fewer. */
static int move_void_mark(struct payments *p, struct journey *j)
{
    if (p->voids.count > 0 || p->voids_more || p->void_cursor == p->void_mark)
        return 0;
    p->void_mark = p->void_cursor;
    return trace(void_mark_write(j, p->void_mark));
}

/* ---- What is due ----------------------------------------------------------------------------- */

static int work_on_waiting(struct payments *p, struct journey *j)
{
    int64_t now_ms = journey_now_ms(j);
    if (p->waiting_due_ms > now_ms)
        return 0;
    int count = payments_overdue(j, STEP_MAX, p->rows);
    for (int i = 0; i < count; i++) {
        const struct payment *payment = &p->rows[i];
        if (asks_find(&p->charges, payment->order_id, payment->attempt))
            continue; /* it has a new card and is being charged: work_on_charges() cancels it */
        int r = cancel_unpaid(j, payment);
        if (r < 0)
            return trace(r);
    }
    if (count == 0)
        return trace(payments_next_deadline(j, &p->waiting_due_ms));
    p->waiting_due_ms = now_ms + AGAIN_MS;
    return count < 0 ? trace(count) : 0;
}

static int work_on_charge(struct payments *p, struct journey *j, struct ask *ask)
{
    int64_t now_ms = journey_now_ms(j);
    struct payment payment;
    int r = payment_find(j, ask->order_id, &payment);
    if (r < 0)
        return trace(r);
    if (r == 0 || payment.attempt != ask->attempt ||
        !order_may_become(payment.status, ORDER_PAID)) {
        asks_remove(&p->charges, ask); /* cancelled meanwhile */
        return 0;
    }
    if (ask->until_ms <= now_ms) {
        asks_remove(&p->charges, ask);
        return trace(cancel_unpaid(j, &payment));
    }
    if (ask->state == ASK_SENT) {
        payments_rest(p, &p->charges, ask, now_ms);
        return 0;
    }
    if (ask->state == ASK_RESTING)
        asks_move(&p->charges, ask, ASK_DUE, now_ms);
    return trace(send_charge(p, j, ask, &payment));
}

/* First what was sent and got lost, or is past its deadline; then, while more may be sent, the
 * others. */
static int work_on_charges(struct payments *p, struct journey *j)
{
    int64_t now_ms = journey_now_ms(j);
    int r = 0;
    for (int i = 0; i < STEP_MAX && r == 0; i++) {
        struct ask *ask = asks_first_due(&p->charges, &p->charges.sent, now_ms);
        if (!ask && p->charges.sent.count < p->inflight_max)
            ask = asks_first_due(&p->charges, &p->charges.waiting, now_ms);
        if (!ask)
            return 0;
        r = work_on_charge(p, j, ask);
    }
    return trace(r);
}

static int work_on_voids(struct payments *p, struct journey *j)
{
    int64_t now_ms = journey_now_ms(j);
    int r = 0;
    struct ask *ask;
    for (int i = 0; i < STEP_MAX && (ask = asks_first_due(&p->voids, &p->voids.sent, now_ms)); i++)
        payments_rest(p, &p->voids, ask, now_ms);
    for (int i = 0;
         i < STEP_MAX && r == 0 && (ask = asks_first_due(&p->voids, &p->voids.waiting, now_ms));
         i++) {
        if (ask->state == ASK_RESTING)
            asks_move(&p->voids, ask, ASK_DUE, now_ms);
        r = send_void(p, j, ask);
    }
    return trace(r);
}

/* When there is something to do without anybody telling; what waits for room is told by an
 * answer. */
static int64_t next_step_ms(const struct payments *p, int64_t now_ms)
{
    if ((p->charges_more || p->chosen_more) && room_for_charges(p) > 0)
        return now_ms;
    if (p->voids_more && p->voids.count < p->voids.max)
        return now_ms;
    int64_t due_ms = earlier(p->waiting_due_ms, p->rescan_ms);
    due_ms = earlier(due_ms, asks_due_ms(&p->charges, &p->charges.sent));
    if (p->charges.sent.count < p->inflight_max)
        due_ms = earlier(due_ms, asks_due_ms(&p->charges, &p->charges.waiting));
    due_ms = earlier(due_ms, asks_due_ms(&p->voids, &p->voids.sent));
    return earlier(due_ms, asks_due_ms(&p->voids, &p->voids.waiting));
}

int payments_step(void *state, struct journey *j, int64_t *ret_due_ms)
{
    struct payments *p = state;
    int r = scan_chosen(p, j);
    if (r == 0)
        r = scan_charges(p, j);
    if (r == 0)
        r = scan_voids(p, j);
    if (r == 0)
        r = move_void_mark(p, j);
    if (r == 0)
        r = work_on_waiting(p, j);
    if (r == 0)
        r = work_on_charges(p, j);
    if (r == 0)
        r = work_on_voids(p, j);
    if (r < 0)
        return trace(r);
    *ret_due_ms = next_step_ms(p, journey_now_ms(j));
    return 0;
}
