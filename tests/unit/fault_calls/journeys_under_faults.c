/* Journeys under faults: the journeys of both services run through the runtime's own loop, again
 * and again, each time with another call failing (of malloc, of SQLite, of the disk, see faults.h):
 * the first, the second … until a whole run needs none further. A step that failed is done again,
 * under the same key, as its requester would; after a commit whose outcome is unknown the loop is
 * opened anew, as the restarted process would. In the end, each time:
 * - no crash and, under AddressSanitizer, no leak;
 * - what was answered "accepted" was in the log for others to see at that moment (I14), what was
 * refused was not (I2);
 * - a step that failed has left nothing behind, and is done by asking again;
 * - the log has the very events of a run without a failure, its chain verifies, and the tables are
 * the same;
 * - the tables are the fold of the log (rule 2). */
#include "faults.h"
#include "base/log.h"
#include "runtime/request/account_subject.h"
#include "runtime/writer/loop.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BEGIN_MS INT64_C(1795000000000)
#define TRIES_MAX 3 /* one that fails, one more while failures go on, one that must succeed */
#define SETTLE_MAX 64

#ifdef FAULT_ORDER
#include "order-svc/service.h"
#define FAULT_SERVICE order_service
#define FAULT_QUERIES                                                                           \
    "SELECT group_concat(type, ' ') FROM (SELECT type FROM event_log ORDER BY position)",       \
        "SELECT group_concat(sku || stock || '/' || reserved || '/' || shipped) FROM products", \
        "SELECT group_concat(account_id || status || amount || currency || attempt || ' ' || "  \
        "placed_position"                                                                       \
        " || ' ' || ifnull(paid_position, '-')) FROM (SELECT * FROM orders ORDER BY "           \
        "placed_position)",                                                                     \
        "SELECT group_concat(account_id || is_open || name || street) FROM customers",          \
        "SELECT group_concat(card_id || is_usable || token) FROM customer_cards"
#else
#include "account-svc/service.h"
#define FAULT_SERVICE account_service
#define FAULT_QUERIES                                                                      \
    "SELECT group_concat(type, ' ') FROM (SELECT type FROM event_log ORDER BY position)",  \
        "SELECT group_concat(name || email) FROM (SELECT * FROM accounts ORDER BY email)", \
        "SELECT count(*) FROM cards"
#endif

/* A step: a request under its own key, or an event of another's log (subject is then "LOG
 * Type"). */
struct step {
    const char *subject, *entity, *body;
};

#define ANNA "acc_00000000-0000-0000-0000-00000000000a"
#define CARD "crd_00000000-0000-0000-0000-000000000001"
#define ORDER "ord_00000000-0000-0000-0000-000000000009"
#define HOME \
    "{\"street\":\"Main St 1\",\"city\":\"Ulm\",\"postal_code\":\"89073\",\"country\":\"DE\"}"

#ifdef FAULT_ORDER
static const struct step steps[] = {
    { "order.add-product", NULL,
      "{\"sku\":\"tea\",\"name\":\"Tea\",\"price\":{\"amount\":500,\"currency\":\"EUR\"},\"stock\":"
      "10}" },
    { "ACCOUNT AccountRegistered", ANNA,
      "{\"account_id\":\"" ANNA
      "\",\"name\":\"Anna\",\"email\":\"anna@example.com\",\"address\":" HOME "}" },
    { "ACCOUNT CardAdded", ANNA,
      "{\"account_id\":\"" ANNA "\",\"card_id\":\"" CARD
      "\",\"card_token\":\"tok_ok\",\"brand\":\"Visa\",\"last4\":\"4242\",\"expires\":\"2030-"
      "12\"}" },
    { "order.place", NULL,
      "{\"account_id\":\"" ANNA "\",\"lines\":[{\"sku\":\"tea\",\"quantity\":2}]}" },
    { "order.place", NULL,
      "{\"account_id\":\"" ANNA "\",\"lines\":[{\"sku\":\"tea\",\"quantity\":99}]}" },
    { "order.receive-stock", NULL, "{\"sku\":\"tea\",\"quantity\":5}" },
    { "order.correct-stock", NULL, "{\"sku\":\"tea\",\"by\":-2,\"reason\":\"broken\"}" },
    { "order.change-price", NULL,
      "{\"sku\":\"tea\",\"price\":{\"amount\":600,\"currency\":\"EUR\"}}" },
    { "order.place." ANNA, NULL, "{\"lines\":[{\"sku\":\"tea\",\"quantity\":1}]}" },
    { "order.place." ANNA, NULL, "{\"lines\":[{\"sku\":\"tea\",\"quantity\":99}]}" },
    { "order.retire-product", NULL, "{\"sku\":\"tea\"}" },
    { "ACCOUNT CardRemoved", ANNA, "{\"account_id\":\"" ANNA "\",\"card_id\":\"" CARD "\"}" },
    { "order.place", NULL,
      "{\"account_id\":\"" ANNA "\",\"lines\":[{\"sku\":\"tea\",\"quantity\":1}]}" },
};
#else
static const struct step steps[] = {
    { "account.register", NULL,
      "{\"name\":\"Bert\",\"email\":\"bert@example.com\",\"address\":" HOME "}" },
    { "account.register", NULL,
      "{\"name\":\"\",\"email\":\"bert@example.com\",\"address\":" HOME "}" },
    { "account.add-card", NULL,
      "{\"account_id\":\"" ANNA "\",\"card_token\":\"tok_ok\",\"brand\":\"Visa\",\"last4\":"
      "\"4242\",\"expires\":\"2030-12\"}" },
    { "ORDER OrderPlaced", ORDER,
      "{\"order_id\":\"" ORDER "\",\"account_id\":\"" ANNA
      "\",\"lines\":[{\"sku\":\"tea\",\"name\":\"Tea\",\"quantity\":1,\"unit_price\":{\"amount\":"
      "500,\"currency\":\"EUR\"}}],\"total\":{\"amount\":500,\"currency\":\"EUR\"},\"card_id\":"
      "\"" CARD "\",\"ship_to\":{\"name\":\"Anna\",\"address\":" HOME
      "},\"pay_until\":\"2026-11-21T00:00:00.000Z\"}" },
    { "ORDER PaymentFailed", ORDER,
      "{\"order_id\":\"" ORDER "\",\"account_id\":\"" ANNA "\",\"card_id\":\"" CARD
      "\",\"attempt\":1,\"reason\":\"card_declined\"}" },
    { "account.register", NULL,
      "{\"name\":\"Cleo\",\"email\":\"cleo@example.com\",\"birthday\":\"1980-02-03\","
      "\"address\":" HOME "}" },
};
#endif
#define STEPS ((int)(sizeof(steps) / sizeof(*steps)))

struct stage {
    struct db *db;
    struct loop loop;
    _Bool is_open;
    char path[128];
    const struct refusal_type
        *refused; /* of the newest request: it was answered with a refusal that stays */
};

static long runs, failed_steps, unknown_outcomes, injected;
static long current_call;
static const char *current_kind = "";

#define must(holds, ...)                                                                      \
    do {                                                                                      \
        if (!(holds)) {                                                                       \
            fprintf(stderr, "%s, call %ld, line %d: ", current_kind, current_call, __LINE__); \
            fprintf(stderr, __VA_ARGS__);                                                     \
            fprintf(stderr, "\n%s\n", failure_text());                                        \
            abort();                                                                          \
        }                                                                                     \
    } while (0)

/* ---- The loop, as writer.c turns it --------------------------------------------------------- */

static int stage_open(struct stage *stage)
{
    struct db_options options = { .path = stage->path };
    int r = db_open(&options, &stage->db);
    if (r == 0)
        r = loop_open(&stage->loop, &FAULT_SERVICE, NULL, stage->db, 42);
    if (r == 0)
        loop_start_process(&stage->loop);
    stage->is_open = r == 0;
    if (r < 0) {
        db_free(stage->db);
        stage->db = NULL;
    }
    return trace(r);
}

static void stage_close(struct stage *stage)
{
    if (stage->is_open)
        loop_close(&stage->loop);
    db_free(stage->db);
    stage->db = NULL;
    stage->is_open = 0;
}

/* What a new connection sees of this request at this moment: so many events (I14). */
static int64_t events_of(const struct stage *stage, const struct item *item)
{
    struct db_options options = { .path = stage->path, .read_only = 1 };
    struct db *db = NULL;
    int64_t count = -1;
    long paused = faults_pause();
    if (strcmp(stage->path, ":memory:") == 0 || !item->origin.cause)
        count = item->outcome == OUTCOME_DONE;
    else
        must(db_open(&options, &db) == 0 &&
                 db_find_number(db, &count, "SELECT count(*) FROM event_log WHERE cause = ?1", "s",
                                item->origin.cause) == 0,
             "the file cannot be read");
    db_free(db);
    faults_resume(paused);
    return count;
}

/* One batch of at most one item. 0, or < 0: it was not done, or nobody knows. */
static int run_once(struct stage *stage, struct item *item, int64_t now_ms)
{
    struct batch *batch = batch_new();
    if (!batch) {
        item_free(item);
        return fail(ERR_MEMORY, "no memory for a batch");
    }
    int r = loop_run(&stage->loop, &item, item != NULL, now_ms, batch);
    must(r == 0 || batch->aborted || batch->outcome_unknown,
         "a failed batch that says neither of the two");
    stage->refused = NULL;
    for (struct item *done = batch->items; done && r == 0; done = done->next) {
        if (done->kind == ITEM_EVENT && done->outcome != OUTCOME_DONE &&
            done->outcome != OUTCOME_REPEAT)
            must(0, "the event was not applied (outcome %d): %s", done->outcome,
                 done->message ? done->message : "");
        if (done->kind != ITEM_COMMAND ||
            (done->outcome == OUTCOME_REFUSED && done->refusal->is_transient))
            r = done->kind == ITEM_COMMAND ? -ERR_MEMORY : r;
        else
            must(events_of(stage, done) == (done->outcome == OUTCOME_DONE),
                 "answered with %d, and the log says otherwise", done->outcome);
        if (done->kind != ITEM_COMMAND || done->outcome != OUTCOME_REFUSED)
            continue;
        stage->refused = done->refusal;
    }
    _Bool unknown = batch->outcome_unknown;
    batch_free(batch);
    if (unknown) { /* the process ends, and starts again */
        unknown_outcomes++;
        stage_close(stage);
    }
    return r;
}

static int settle(struct stage *stage, int64_t now_ms)
{
    for (int i = 0; loop_due_ms(&stage->loop) <= now_ms; i++) {
        must(i < SETTLE_MAX, "the loop does not come to rest");
        int r = run_once(stage, NULL, now_ms);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- Items ---------------------------------------------------------------------------------- */

static int decode(const struct schema *schema, const char *text, struct item *item,
                  void **ret_value)
{
    struct invalid invalid;
    int r = schema_decode(schema, text, strlen(text), &item->arena, ret_value, &invalid);
    must(r <= 0 || strstr(text, "\"name\":\"\""), "%s: %s", invalid.field, invalid.message);
    return r;
}

/* Its own, or that of an account. */
static _Bool is_subject_of(const struct command *command, const char *subject)
{
    size_t length = strlen(command->subject);
    return strncmp(command->subject, subject, length) == 0 &&
           (!subject[length] || subject[length] == '.');
}

static int decode_request(const struct step *step, struct item *item)
{
    const struct command *command = item->command;
    struct account_request *account = NULL;
    struct invalid invalid;
    void *request = NULL;
    int r = 0;
    if (strcmp(command->subject, step->subject) != 0)
        r = account_request_make(command->request, &item->arena, &account);
    if (r == 0 && account)
        r = account_take(account, step->subject, item, &invalid);
    if (r == 0)
        r = decode(account ? &account->schema : command->request, step->body, item, &request);
    if (r == 0 && account)
        r = account_fill_in(account, item, request, &invalid);
    item->request = request;
    return r;
}

/* 0 an item, 1 refused by its schema, < 0. */
static int request_item(const struct step *step, int number, struct item **ret_item)
{
    struct invalid invalid;
    const struct command *command = FAULT_SERVICE.commands;
    while (!is_subject_of(command, step->subject))
        command++;
    _free_(item) struct item *item = item_new(ITEM_COMMAND);
    if (!item)
        return fail(ERR_MEMORY, "no memory for a request");
    item->command = command;
    int r = decode_request(step, item);
    if (r != 0)
        return r;
    char *key = arena_alloc(&item->arena, 32);
    if (!key)
        return fail(ERR_MEMORY, "no memory for a key");
    snprintf(key, 32, "key-%d", number);
    r = account_take_key(item, key, &invalid);
    if (r < 0)
        return trace(r);
    item->origin.cause_digest = "0000";
    item->origin.correlation = "corr";
    item->origin.causation = NULL;
    *ret_item = take(item);
    return 0;
}

static int event_item(const struct loop *loop, const struct event *given, struct item **ret_item)
{
    _free_(item) struct item *item = item_new(ITEM_EVENT);
    int r = item ? event_copy(given, &item->arena, &item->event)
                 : fail(ERR_MEMORY, "no memory for an event");
    if (r < 0)
        return trace(r);
    const struct source *source = loop->service->sources;
    while (source->log && strcmp(source->log, given->log) != 0)
        source++;
    item->source = source->log ? source : NULL;
    item->type = event_type_of_name(item->source ? source->events : loop->service->events,
                                    given->type);
    const struct cursor *cursor = &loop->at.cursors[0];
    item->event.position = (item->source ? cursor->position : loop->at.head.position) + 1;
    r = event_digest(&item->event, &item->event_digest);
    if (r == 0)
        r = event_chain(item->source ? &cursor->chain : &loop->at.head.chain, &item->event_digest,
                        &item->event.chain);
    void *value = NULL;
    if (r == 0 && item->type)
        r = decode(item->type->schema, item->event.data, item, &value);
    if (r < 0)
        return trace(r);
    item->event.value = value;
    *ret_item = take(item);
    return 0;
}

static struct event given_event(const struct step *step, int number)
{
    static char log[16], id[UUID_SIZE];
    snprintf(log, sizeof(log), "%.*s", (int)strcspn(step->subject, " "), step->subject);
    snprintf(id, sizeof(id), "00000000-0000-7000-8000-%012d", number);
    return (struct event){
        .log = log,
        .id = id,
        .type = step->subject + strlen(log) + 1,
        .entity = step->entity,
        .time_ms = BEGIN_MS + number,
        .correlation = id,
        .data = step->body,
        .data_length = strlen(step->body),
    };
}

static int given_before(int number)
{
    int count = 0;
    for (int i = 0; i < number; i++)
        count += steps[i].entity != NULL;
    return count;
}

/* ---- Runs ----------------------------------------------------------------------------------- */

static int try_step(struct stage *stage, int number)
{
    const struct step *step = &steps[number];
    const int64_t now_ms = BEGIN_MS + 1000 * number;
    struct item *item = NULL;
    int r = stage->is_open ? 0 : stage_open(stage);
    if (r == 0 && step->entity) {
        if (stage->loop.at.cursors[0].position > given_before(number))
            /* it was committed after all: the feed goes on behind it */
            return settle(stage, now_ms);
        struct event event = given_event(step, number);
        r = event_item(&stage->loop, &event, &item);
    } else if (r == 0) {
        r = request_item(step, number, &item);
    }
    if (r > 0)
        return 0;
    if (r == 0)
        r = run_once(stage, item, now_ms);
    return r < 0 ? r : settle(stage, now_ms);
}

static void run_steps(struct stage *stage)
{
    for (int i = 0; i < STEPS; i++) {
        int r = -1;
        for (int tries = 0; r < 0; tries++) {
            if (tries == TRIES_MAX - 1)
                injected += faults_stop();
            must(tries < TRIES_MAX, "step %d, %s, fails although nothing is wrong any more", i,
                 steps[i].subject);
            r = try_step(stage, i);
            failed_steps += r < 0;
        }
    }
}

/* All that a run leaves, without what differs from try to try (ids and, by them, chains). */
static void describe(struct stage *stage, struct buf *text)
{
    static const char *const queries[] = { FAULT_QUERIES };
    for (size_t i = 0; i < sizeof(queries) / sizeof(*queries); i++) {
        _deinit_(query) struct query q = { 0 };
        must(query_find(&q, stage->db, queries[i], "") == 0, "%s has no row", queries[i]);
        buf_put_format(text, "%s\n", query_text(&q, 0) ? query_text(&q, 0) : "-");
    }
}

static void fold_one(struct stage *folded, const struct event *event)
{
    struct item *item = NULL;
    must(event_item(&folded->loop, event, &item) == 0, "an event of the log cannot be read");
    struct event_type quiet;
    if (item->type) { /* a fold only applies */
        quiet = *item->type;
        quiet.react = NULL;
        item->type = &quiet;
    }
    const struct digest chain = item->event.chain;
    must(run_once(folded, item, BEGIN_MS) == 0, "folding anew fails at %s", event->type);
    if (strcmp(event->log, FAULT_SERVICE.log) == 0)
        must(memcmp(&chain, &event->chain, sizeof(chain)) == 0, "the chain breaks at %" PRId64,
             event->position);
}

static void check_fold(struct stage *stage, const struct buf *expected)
{
    struct stage folded = { .path = ":memory:" };
    must(stage_open(&folded) == 0, "no database to fold into");
    folded.loop.process.wanted = 0;
    for (int i = 0; i < STEPS; i++)
        if (steps[i].entity) {
            struct event event = given_event(&steps[i], i);
            fold_one(&folded, &event);
        }
    {
        _deinit_(event_reader) struct event_reader reader = { 0 };
        struct event event;
        must(event_reader_open(&reader, stage->db, FAULT_SERVICE.log, 0, INT64_MAX) == 0,
             "the log cannot be read");
        while (event_reader_has_next(&reader, &event))
            fold_one(&folded, &event);
        must(event_reader_status(&reader) == 0, "the log cannot be read");
    }
    _deinit_(buf) struct buf text = { 0 };
    describe(&folded, &text);
    must(strcmp(text.data, expected->data) == 0, "the fold of the log is\n%s instead of\n%s",
         text.data, expected->data);
    stage_close(&folded);
}

static void remove_files(const char *path)
{
    static const char *const endings[] = { "", "-wal", "-shm" };
    for (int i = 0; i < 3; i++) {
        char name[160];
        snprintf(name, sizeof(name), "%s%s", path, endings[i]);
        remove(name);
    }
}

/* Returns whether the failures were reached. */
static _Bool run(const char *path, const char *kind, long call, long failures,
                 struct buf *reference)
{
    struct stage stage = { 0 };
    snprintf(stage.path, sizeof(stage.path), "%s", path);
    remove_files(path);
    must(stage_open(&stage) == 0, "no database");
    current_call = call;
    current_kind = kind;
    const long before = injected;
    if (call > 0)
        faults_fail_at(kind, call, failures);
    run_steps(&stage);
    injected += faults_stop();
    runs++;
    if (!stage.is_open)
        must(stage_open(&stage) == 0, "not opened again");
    _deinit_(buf) struct buf text = { 0 };
    describe(&stage, &text);
    if (call == 0)
        buf_put(reference, text.data, text.length);
    must(strcmp(text.data, reference->data) == 0, "the tables are\n%s instead of\n%s", text.data,
         reference->data);
    check_fold(&stage, &text);
    stage_close(&stage);
    return injected > before;
}

/* With a number N: every N-th call only, for a short run. */
int main(int argc, char **argv)
{
    const long stride = argc > 1 ? atol(argv[1]) : 1;
    /* no disk: each run syncs some twenty times */
    char folder[] = "/dev/shm/fault_calls_XXXXXX", path[64];
    faults_init();
    log_setup("test", LOG_ERROR + 1, LOG_LOGFMT); /* thousands of planned failures are no news */
    must(mkdtemp(folder), "no folder");
    snprintf(path, sizeof(path), "%s/log.db", folder);
    _deinit_(buf) struct buf reference = { 0 };
    run(path, "", 0, 0, &reference);
    for (int kind = 0; faults_kinds[kind]; kind++)
        for (long failures = 1; failures <= 3; failures += 2)
            for (long call = 1; run(path, faults_kinds[kind], call, failures, &reference);
                 call += stride)
                ;
    remove_files(path);
    remove(folder);
    printf("%s: %ld runs, %ld calls failed, %ld steps done again, %ld outcomes unknown\n",
           FAULT_SERVICE.name, runs, injected, failed_steps, unknown_outcomes);
    return 0;
}
