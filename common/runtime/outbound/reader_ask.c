/* Reader ask: see reader_ask.h. */
#include "runtime/outbound/reader_ask.h"
#include "base/json_text.h"
#include "base/log.h"
#include "runtime/outbound/outbound.h"
#include <assert.h>
#include <stdio.h>

#define ANSWER_MS 400 /* ADR-32 wants an answer within 300 */
#define AGAIN_MS 2000 /* asked again so often */
#define KEEP_ASKING_MS 60000

static const char reason[] = "a reader has read further than our log and our stream go: both have "
                             "lost events";

static int send_question(struct outbound *outbound)
{
    const struct reply_tag tag = { .part = PART_READERS, .step = 's' };
    return trace(outbound_request(outbound, &tag, "$SRV.STATS", NULL, 0));
}

_Bool reader_ask_begin(struct reader_ask *ask, struct outbound *outbound, struct relay *relay,
                       const struct relay_tail *tail, int64_t now_ms)
{
    assert(tail->messages == 0);
    if (relay->head > 0 || relay->high_water > 0 || send_question(outbound) < 0)
        return 0;
    ask->tail = *tail;
    ask->epoch = relay->epoch;
    ask->answer_by_ms = now_ms + ANSWER_MS;
    ask->until_ms = now_ms + KEEP_ASKING_MS;
    ask->next_ms = now_ms + AGAIN_MS;
    return 1;
}

/* Nobody has read further, as far as is known: the log begins, or goes on. */
static void end_look(struct reader_ask *ask, struct relay *relay, int64_t now_ms)
{
    const _Bool waits = ask->answer_by_ms > 0 && relay->epoch == ask->epoch;
    ask->answer_by_ms = 0;
    if (waits)
        relay_looked(relay, &ask->tail, now_ms);
}

/* Of an answer to $SRV.STATS: how far it has read our log; 0: not at all. */
static int64_t cursor_in(const struct outbound *outbound, struct json_text answer)
{
    struct json_members endpoints;
    struct json_text key, endpoint;
    int64_t cursor = 0;
    json_text_members_begin(&endpoints, json_text_find(answer, "endpoints"));
    while (json_text_members_next(&endpoints, &key, &endpoint)) {
        const struct json_text source = json_text_find(
            json_text_find(json_text_find(endpoint, "data"), "sources"), outbound->self.log);
        const int64_t found = json_text_number(json_text_find(source, "cursor"), 0);
        cursor = found > cursor ? found : cursor;
    }
    return cursor;
}

void reader_ask_reply(struct reader_ask *ask, struct outbound *outbound, struct relay *relay,
                      struct bus_message *message, int64_t now_ms)
{
    if (bus_message_status(message)) { /* there is no other service, nor ourselves */
        ask->until_ms = 0;
        end_look(ask, relay, now_ms);
        return;
    }
    const struct json_text answer = json_text_of(bus_message_data(message),
                                                 bus_message_length(message));
    const struct json_text name = json_text_find(answer, "name");
    const int64_t cursor = cursor_in(outbound, answer);
    const _Bool waits = ask->answer_by_ms > 0; /* nothing of ours is in the stream yet */
    if (cursor <= relay->head || (!waits && relay->state != RELAY_PUBLISHING))
        return;
    if (!waits && !ask->doubts) { /* what it has read may be another leader's: the stream says so */
        ask->doubts = 1;
        ask->next_ms = now_ms;
        relay_doubt(relay, "a reader has read further than our log goes", now_ms);
        return;
    }
    char reader[80];
    snprintf(reader, sizeof(reader), "%.*s", name.length > 2 ? (int)name.length - 2 : 0,
             name.length > 2 ? name.text + 1 : ""); /* without its quotes */
    log_error("log_lost", LOG_TEXT("log", outbound->self.log), LOG_TEXT("reader", reader),
              LOG_INT("reader_position", cursor), LOG_INT("position", relay->head),
              LOG_TEXT("help", "`restore FILE` a backup of the database, or of the server's "
                               "streams: docs/OPERATIONS.md, Both copies lost"));
    ask->answer_by_ms = ask->until_ms = 0;
    relay_fork(relay, reason);
}

void reader_ask_look_at_clock(struct reader_ask *ask, struct outbound *outbound,
                              struct relay *relay, int64_t now_ms)
{
    if (ask->answer_by_ms > 0 && (now_ms >= ask->answer_by_ms || relay->epoch != ask->epoch))
        end_look(ask, relay, now_ms);
    if (now_ms >= ask->until_ms || now_ms < ask->next_ms || relay->state != RELAY_PUBLISHING)
        return;
    ask->next_ms = now_ms + AGAIN_MS;
    if (send_question(outbound) < 0)
        log_debug("readers_not_asked", LOG_TEXT("reason", failure_text()));
}

int64_t reader_ask_due_ms(const struct reader_ask *ask)
{
    return ask->answer_by_ms > 0 ? ask->answer_by_ms : INT64_MAX;
}
