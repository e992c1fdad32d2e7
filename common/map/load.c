/* Load: see load.h. */
#include "map/load.h"
#include "base/clock.h"
#include "base/json_text.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID_SIZE 80
#define DECLINED_CUSTOMERS 24 /* the others have a card that is good */
#define AGAIN_MS 500          /* after a step that was refused or unanswered */
#define PER_TURN_MAX 100
#define ADDRESS_OF_ORDERS 10 /* one new address for so many orders */

enum step { STEP_REGISTER, STEP_CARD, STEP_SECOND_CARD, STEP_READY };

struct customer {
    enum step step;
    _Bool waits; /* for the answer to its step */
    int64_t due_ms;
    char account[ID_SIZE];
};

enum errand { ERRAND_NONE, ERRAND_ORDER, ERRAND_ADDRESS, ERRAND_STEP, ERRAND_PRODUCT };

/* A request that waits for its answer; its place is in the reply subject, with a number that tells
 * it from the one before there. */
struct open {
    enum errand errand;
    int customer;
    int64_t number, due_ms;
};

struct load {
    struct watcher *watcher;
    int rate, declined_percent;
    _Bool has_product;
    int64_t product_due_ms;
    double owed;                   /* orders */
    int64_t at_ms, turned_ms;      /* now; the turn before */
    int next, next_declined, sent; /* customers in turn; orders, for the share */
    int64_t registered;            /* so that no two have the same e-mail */
    struct customer customers[LOAD_CUSTOMERS];
    struct open open[LOAD_OPEN_MAX];
    int open_count, next_open;
    int64_t numbers, looked_ms;
    struct load_counts counts;
    char last_order[ID_SIZE];
};

/* ---- Requests -------------------------------------------------------------------------------- */

/* False: it cannot be sent now. */
static _Bool ask(struct load *load, enum errand errand, int customer, const char *subject,
                 const char *body)
{
    char place[64];
    if (load->open_count >= LOAD_OPEN_MAX)
        return 0;
    while (load->open[load->next_open].errand != ERRAND_NONE)
        load->next_open = (load->next_open + 1) % LOAD_OPEN_MAX;
    struct open *open = &load->open[load->next_open];
    snprintf(place, sizeof(place), "%d.%" PRId64, load->next_open, ++load->numbers);
    if (watcher_send(load->watcher, subject, body, place) < 0)
        return 0;
    *open = (struct open){ errand, customer, load->numbers, load->at_ms + LOAD_ANSWER_MS };
    load->open_count++;
    return 1;
}

/* The text of a member of the answer; false: it is not there, so this is a refusal. */
static _Bool read_id(struct bus_message *message, const char *key, char ret_id[ID_SIZE])
{
    const struct json_text value =
        json_text_find(json_text_of(bus_message_data(message), bus_message_length(message)), key);
    if (value.length < 3 || *value.text != '"' || value.length - 2 >= ID_SIZE)
        return 0;
    memcpy(ret_id, value.text + 1, value.length - 2);
    ret_id[value.length - 2] = '\0';
    return bus_header_key_is_safe(ret_id); /* it becomes a part of what is asked next */
}

static _Bool is_declined(int customer)
{
    return customer < DECLINED_CUSTOMERS;
}

/* ---- Answers --------------------------------------------------------------------------------- */

/* message NULL: none came. */
static void end_step(struct load *load, struct customer *customer, struct bus_message *message)
{
    char id[ID_SIZE];
    const _Bool registers = customer->step == STEP_REGISTER;
    customer->waits = 0;
    if (!message || bus_message_status(message) != 0 ||
        !read_id(message, registers ? "account_id" : "card_id", id)) {
        customer->due_ms = load->at_ms + AGAIN_MS;
        return;
    }
    if (registers)
        memcpy(customer->account, id, sizeof(id));
    const _Bool has_one = customer->step == STEP_CARD &&
                          !is_declined((int)(customer - load->customers));
    customer->step = has_one ? STEP_READY : customer->step + 1;
}

static void end_order(struct load *load, int number, struct bus_message *message)
{
    char id[ID_SIZE];
    struct customer *customer = &load->customers[number];
    if (!message || bus_message_status(message) != 0) {
        load->counts.unanswered++;
    } else if (read_id(message, "order_id", id)) {
        load->counts.placed++;
        memcpy(load->last_order, id, sizeof(id));
        if (is_declined(number))
            customer->step = STEP_REGISTER; /* its first card will not be used again */
    } else {
        load->counts.refused++;
        /* order-svc may not have read of its card yet */
        customer->due_ms = load->at_ms + AGAIN_MS;
    }
    customer->waits = 0;
}

static _Bool is_done(struct bus_message *message)
{
    return message && bus_message_status(message) == 0 &&
           !json_text_find(json_text_of(bus_message_data(message), bus_message_length(message)),
                           "error")
                .text;
}

static void end_errand(struct load *load, struct open *open, struct bus_message *message)
{
    const struct open ended = *open;
    open->errand = ERRAND_NONE;
    load->open_count--;
    switch (ended.errand) {
    case ERRAND_ORDER: end_order(load, ended.customer, message); break;
    case ERRAND_STEP:  end_step(load, &load->customers[ended.customer], message); break;
    case ERRAND_ADDRESS:
        if (is_done(message))
            load->counts.changed++;
        else
            load->counts.not_changed++;
        break;
    case ERRAND_PRODUCT: /* refused, when it is there from the last time */
        load->has_product = message && bus_message_status(message) == 0;
        break;
    case ERRAND_NONE: assert(0);
    }
}

static void on_answer(void *context, struct bus_message *message, const char *place)
{
    struct load *load = context;
    char *rest;
    const long i = strtol(place, &rest, 10);
    if (*rest != '.' || i < 0 || i >= LOAD_OPEN_MAX || load->open[i].errand == ERRAND_NONE ||
        load->open[i].number != strtoll(rest + 1, NULL, 10))
        return; /* a late one */
    load->at_ms = clock_monotonic_ms();
    end_errand(load, &load->open[i], message);
}

static void end_late(struct load *load)
{
    for (int i = 0; i < LOAD_OPEN_MAX; i++)
        if (load->open[i].errand != ERRAND_NONE && load->at_ms >= load->open[i].due_ms)
            end_errand(load, &load->open[i], NULL);
}

/* ---- Customers ------------------------------------------------------------------------------- */

static void ask_product(struct load *load)
{
    if (load->has_product || load->at_ms < load->product_due_ms)
        return;
    load->product_due_ms = load->at_ms + AGAIN_MS;
    (void)ask(load, ERRAND_PRODUCT, 0, "order.add-product",
              "{\"sku\":\"map-tea\",\"name\":\"Green tea\",\"price\":{\"amount\":450,"
              "\"currency\":\"EUR\"},\"stock\":1000000000}");
}

static void put_address(int64_t number, char *ret_text, size_t size)
{
    snprintf(ret_text, size,
             "{\"street\":\"%" PRId64 " Main Street\",\"city\":\"Springfield\","
             "\"postal_code\":\"12345\",\"country\":\"US\"}",
             number % 999 + 1);
}

static void take_step(struct load *load, int number)
{
    struct customer *customer = &load->customers[number];
    char body[512];
    const char *subject = "account.add-card";
    if (customer->step == STEP_READY || customer->waits || load->at_ms < customer->due_ms)
        return;
    if (customer->step == STEP_REGISTER) {
        char address[160];
        subject = "account.register";
        put_address(++load->registered, address, sizeof(address));
        snprintf(body, sizeof(body),
                 "{\"name\":\"Sam Sample\",\"email\":\"sam.%" PRId64 ".%" PRId64
                 "@example.org\",\"address\":%s}",
                 clock_wall_ms(), load->registered, address);
    } else {
        const _Bool declined = is_declined(number) && customer->step == STEP_CARD;
        snprintf(body, sizeof(body),
                 "{\"account_id\":\"%s\",\"card_token\":\"%s\",\"brand\":\"visa\",\"last4\":"
                 "\"4242\",\"expires\":\"2099-12\"}",
                 customer->account, declined ? "tok_declined" : "tok_ok");
    }
    customer->waits = ask(load, ERRAND_STEP, number, subject, body);
    customer->due_ms = load->at_ms + AGAIN_MS / 10;
}

/* The next one who is ready to order; -1: none is. */
static int next_customer(struct load *load, _Bool declined)
{
    const int from = declined ? 0 : DECLINED_CUSTOMERS;
    const int count = declined ? DECLINED_CUSTOMERS : LOAD_CUSTOMERS - DECLINED_CUSTOMERS;
    int *next = declined ? &load->next_declined : &load->next;
    for (int i = 0; i < count; i++) {
        const int number = from + (*next + i) % count;
        const struct customer *customer = &load->customers[number];
        if (customer->step == STEP_READY && !customer->waits && load->at_ms >= customer->due_ms) {
            *next = (number - from + 1) % count;
            return number;
        }
    }
    return -1;
}

/* False: nobody can order now. */
static _Bool place_order(struct load *load)
{
    char body[256];
    const int place = load->sent % 100;
    /* spread over the hundred */
    const _Bool declined = place * load->declined_percent % 100 < load->declined_percent;
    int number = declined ? next_customer(load, 1) : -1;
    if (number < 0)
        number = next_customer(load, 0);
    if (number < 0)
        return 0;
    snprintf(body, sizeof(body),
             "{\"account_id\":\"%s\",\"lines\":[{\"sku\":\"map-tea\",\"quantity\":1}]}",
             load->customers[number].account);
    if (!ask(load, ERRAND_ORDER, number, "order.place", body))
        return 0;
    load->customers[number].waits = is_declined(number); /* one order with that card */
    load->counts.asked++;
    load->sent++;
    return 1;
}

static void change_address(struct load *load)
{
    char body[320], address[160];
    const int number = next_customer(load, 0);
    if (number < 0)
        return;
    put_address(load->sent, address, sizeof(address));
    snprintf(body, sizeof(body), "{\"account_id\":\"%s\",\"address\":%s}",
             load->customers[number].account, address);
    (void)ask(load, ERRAND_ADDRESS, number, "account.change-address", body);
}

/* ---- Turns ----------------------------------------------------------------------------------- */

struct load *load_new(struct watcher *watcher)
{
    struct load *load = calloc(1, sizeof(*load));
    if (!load)
        return NULL;
    load->watcher = watcher;
    watcher_listen(watcher, on_answer, load);
    return load;
}

void load_free(struct load *load)
{
    if (load)
        watcher_listen(load->watcher, NULL, NULL);
    free(load);
}

void load_set(struct load *load, int rate, int declined_percent)
{
    assert(rate >= 0 && rate <= LOAD_RATE_MAX && declined_percent >= 0 && declined_percent <= 100);
    load->rate = rate;
    load->declined_percent = declined_percent;
    load->at_ms = load->turned_ms = clock_monotonic_ms();
    load->owed = rate > 0;
}

int64_t load_due_ms(const struct load *load)
{
    return load->rate > 0 || load->open_count > 0 ? load->turned_ms + LOAD_TURN_MS : INT64_MAX;
}

void load_turn(struct load *load, int64_t now_ms)
{
    if (now_ms < load_due_ms(load) || load_due_ms(load) == INT64_MAX)
        return;
    load->owed += (double)(now_ms - load->turned_ms) * load->rate / 1000;
    load->at_ms = load->turned_ms = now_ms;
    if (now_ms - load->looked_ms > 100) {
        end_late(load);
        load->looked_ms = now_ms;
    }
    if (load->rate == 0)
        return;
    ask_product(load);
    for (int i = 0; i < LOAD_CUSTOMERS; i++)
        take_step(load, i);
    for (int i = 0; i < PER_TURN_MAX && load->owed >= 1 && load->has_product; i++) {
        if (!place_order(load))
            break;
        load->owed--;
        if (load->sent % ADDRESS_OF_ORDERS == 0)
            change_address(load);
    }
    load->owed = load->owed > load->rate ? load->rate : load->owed; /* a second at most */
}

void load_write(const struct load *load, struct buf *out)
{
    const struct load_counts *counts = &load->counts;
    buf_put_format(out,
                   "\"rate\":%d,\"declined\":%d,\"asked\":%" PRId64 ",\"placed\":%" PRId64
                   ",\"refused\":%" PRId64 ",\"unanswered\":%" PRId64 ",\"changed\":%" PRId64
                   ",\"not_changed\":%" PRId64 ",\"last\":\"%s\"",
                   load->rate, load->declined_percent, counts->asked, counts->placed,
                   counts->refused, counts->unanswered, counts->changed, counts->not_changed,
                   load->last_order);
}
