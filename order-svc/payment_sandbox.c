/* Payment sandbox: a provider that is built in, for demonstrations and tests. The card's token
 * decides:
 *
 *     tok_declined…   declined, for good
 *     tok_soft…       declined, as it is without money now: the card stays usable
 *     tok_timeout…    never answers
 *     tok_slow…       paid, after 300 ms
 *     tok_late…       paid, after one and a half times the time-out
 *     tok_flaky…      nobody there twice, then paid
 *     any other       paid (tok_ok)
 *
 * Money of a token that ends in _kept is never given back: voids and refunds are refused.
 *
 * It keeps nothing, so a token gives the same answer for the same key, as the interface wants. */
#include "payment_provider.h"
#include "schemas/psp.charge.reply.h"
#include "schemas/psp.refund.reply.h"
#include "schemas/psp.void.reply.h"
#include <string.h>

#define SLOW_MS 300
#define FLAKY_TRIES 2

static const struct behaviour {
    const char *token; /* begins with it */
    enum answer_outcome outcome;
    struct psp_charge_reply reply;
    int delay_ms;
    _Bool waits;     /* for the whole time-out */
    _Bool is_late;   /* it comes after the time-out */
    int until_tries; /* behaves like this so many times; 0: always */
} behaviours[] = {
    { .token = "tok_declined",
      .outcome = ANSWER_RECEIVED,
      .reply = { .status = "declined", .reason = "card_declined" } },
    { .token = "tok_soft",
      .outcome = ANSWER_RECEIVED,
      .reply = { .status = "declined", .reason = "insufficient_funds" } },
    { .token = "tok_timeout", .outcome = ANSWER_TIMEOUT, .waits = 1 },
    { .token = "tok_slow",
      .outcome = ANSWER_RECEIVED,
      .reply = { .status = "paid" },
      .delay_ms = SLOW_MS },
    { .token = "tok_late",
      .outcome = ANSWER_RECEIVED,
      .reply = { .status = "paid" },
      .is_late = 1 },
    { .token = "tok_flaky", .outcome = ANSWER_UNREACHABLE, .until_tries = FLAKY_TRIES },
    { .token = "", .outcome = ANSWER_RECEIVED, .reply = { .status = "paid" } },
};

static const struct behaviour *behaviour_of(const struct work *work, const char *card_token)
{
    const struct behaviour *b = behaviours;
    while (strncmp(card_token, b->token, strlen(b->token)) != 0 ||
           (b->until_tries > 0 && work->tries >= b->until_tries))
        b++;
    return b;
}

static int charge_here(struct journey *j, const struct work *work, const struct charge *charge)
{
    const struct behaviour *b = behaviour_of(work, charge->card_token);
    struct call call = { .subject = "psp.charge" };
    int delay_ms = b->waits     ? work->timeout_ms
                   : b->is_late ? work->timeout_ms + work->timeout_ms / 2
                                : b->delay_ms;
    return trace(journey_answer_later(j, &call, b->outcome, &b->reply, delay_ms));
}

static _Bool keeps_money(const char *card_token)
{
    static const char keeps[] = "_kept";
    size_t length = card_token ? strlen(card_token) : 0;
    return length >= sizeof(keeps) - 1 &&
           strcmp(card_token + length - (sizeof(keeps) - 1), keeps) == 0;
}

static int take_back_here(struct journey *j, const struct work *work, const char *card_token)
{
    (void)work;
    struct call call = { .subject = "psp.void" };
    struct psp_void_reply reply = { .status = "voided" };
    if (keeps_money(card_token))
        reply = (struct psp_void_reply){ .status = "refused", .reason = "already_settled" };
    return trace(journey_answer_later(j, &call, ANSWER_RECEIVED, &reply, 0));
}

static int give_back_here(struct journey *j, const struct work *work,
                          const struct give_back *give_back)
{
    (void)work;
    struct call call = { .subject = "psp.refund" };
    struct psp_refund_reply reply = { .status = "refunded" };
    if (keeps_money(give_back->card_token))
        reply = (struct psp_refund_reply){ .status = "refused", .reason = "card_closed" };
    return trace(journey_answer_later(j, &call, ANSWER_RECEIVED, &reply, 0));
}

const struct payment_provider payment_sandbox = {
    "sandbox",
    charge_here,
    take_back_here,
    give_back_here,
};
