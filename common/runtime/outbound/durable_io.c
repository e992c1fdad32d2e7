/* Durable's I/O: see durable_io.h. */
#include "runtime/outbound/durable_io.h"
#include "base/log.h"
#include "runtime/request/reply.h"
#include "runtime/sync/drift.h"
#include "schemas/runtime.durable.h"
#include "schemas/runtime.durable.reply.h"
#include <stdio.h>
#include <string.h>

#define SERVER_TIMEOUT_MS 3000 /* less than a reader waits for us */

enum step { STEP_DELETED = 'd', STEP_MADE = 'm' };

void durable_io_init(struct durable_io *durable_io, struct outbound *outbound)
{
    *durable_io = (struct durable_io){ .outbound = outbound };
}

/* ---- Answers -------------------------------------------------------------------------------- */

static void send_reply(struct durable_io *durable_io, struct durable_job *job)
{
    _free_(item) struct item *item = take(job->item);
    reply_send(durable_io->outbound->bus, BUS_URGENT, item);
}

static void refuse_job(struct durable_io *durable_io, struct durable_job *job, const char *why)
{
    assert(job->item);
    log_warn("durable_not_made", LOG_TEXT("reader", job->reader), LOG_TEXT("reason", why));
    job->item->outcome = OUTCOME_REFUSED;
    job->item->refusal = refusal_of(REFUSED_BUSY);
    job->item->message = why;
    send_reply(durable_io, job);
}

static void finish(struct durable_io *durable_io, struct durable_job *job)
{
    const struct runtime_durable *request = job->item->request;
    const struct runtime_durable_reply reply = {
        .stream = durable_io->outbound->self.log,
        .durable = job->reader,
        .start_sequence = request->start_sequence,
    };
    if (schema_encode(&runtime_durable_reply_schema, &reply, &job->item->body) < 0) {
        refuse_job(durable_io, job, "no memory");
        return;
    }
    log_info("durable_made", LOG_TEXT("reader", job->reader),
             LOG_INT("start_sequence", request->start_sequence));
    job->item->outcome = OUTCOME_DONE;
    send_reply(durable_io, job);
}

/* ---- The two requests to the server --------------------------------------------------------- */

static void request_step(struct durable_io *durable_io, struct durable_job *job, enum step step,
                         int built, const struct js_request *request, int64_t now_ms)
{
    const struct reply_tag tag = { .part = PART_DURABLES, .step = (char)step, .n = job->number };
    job->deleted = step == STEP_MADE;
    job->deadline_ms = now_ms + SERVER_TIMEOUT_MS;
    if (outbound_request_api(durable_io->outbound, &tag, built, request) < 0)
        refuse_job(durable_io, job, "the server cannot be asked");
}

static void delete_durable(struct durable_io *durable_io, struct durable_job *job, int64_t now_ms)
{
    _deinit_(js_request) struct js_request request;
    js_request_init(&request, NULL);
    int built = js_consumer_delete(&request, durable_io->outbound->self.log, job->reader);
    request_step(durable_io, job, STEP_DELETED, built, &request, now_ms);
}

static void make_durable(struct durable_io *durable_io, struct durable_job *job, int64_t now_ms)
{
    _deinit_(js_request) struct js_request request;
    js_request_init(&request, NULL);
    _deinit_(buf) struct buf wish = { 0 };
    const struct runtime_durable *wanted = job->item->request;
    int built = drift_durable_wish(job->reader, wanted->start_sequence,
                                   wanted->has_max_ack_pending ? wanted->max_ack_pending
                                                               : DURABLE_ACK_PENDING,
                                   wanted->has_inactive_s ? wanted->inactive_s : 0, &wish);
    if (built == 0)
        built = js_consumer_create_as(&request, durable_io->outbound->self.log, job->reader,
                                      wish.data);
    request_step(durable_io, job, STEP_MADE, built, &request, now_ms);
}

/* ---- Jobs ----------------------------------------------------------------------------------- */

/* That of this reader, else one that is idle; NULL: all are busy with others. */
static struct durable_job *job_for(struct durable_io *durable_io, const char *reader)
{
    struct durable_job *idle = NULL;
    for (int i = 0; i < DURABLE_JOBS_MAX; i++) {
        struct durable_job *job = &durable_io->jobs[i];
        if (job->item && strcmp(job->reader, reader) == 0)
            return job;
        if (!job->item)
            idle = job;
    }
    return idle;
}

void durable_io_begin(struct durable_io *durable_io, struct item *item, int64_t now_ms)
{
    owner_assert(&durable_io->outbound->owner);
    assert(item->kind == ITEM_DURABLE && item->reader);
    struct durable_job *job = job_for(durable_io, item->reader);
    if (!job) {
        struct durable_job refused = { .item = item };
        snprintf(refused.reader, sizeof(refused.reader), "%s", item->reader);
        refuse_job(durable_io, &refused, "the durables of too many readers are being made");
        return;
    }
    if (job->item)
        refuse_job(durable_io, job, "the reader has asked again");
    *job = (struct durable_job){ .item = item, .number = ++durable_io->newest_number };
    snprintf(job->reader, sizeof(job->reader), "%s", item->reader);
    delete_durable(durable_io, job, now_ms);
}

static struct durable_job *job_of_number(struct durable_io *durable_io, int64_t number)
{
    for (int i = 0; i < DURABLE_JOBS_MAX; i++)
        if (durable_io->jobs[i].item && durable_io->jobs[i].number == number)
            return &durable_io->jobs[i];
    return NULL;
}

static void take_deleted(struct durable_io *durable_io, struct durable_job *job,
                         struct bus_message *message, int64_t now_ms)
{
    struct js_error error;
    int r = js_parse_success(bus_message_data(message), bus_message_length(message),
                             &job->item->arena, &error);
    if (r == 0 || (r == JS_REFUSED && error.error_code == JS_ERR_CONSUMER_NOT_FOUND))
        make_durable(durable_io, job, now_ms);
    else
        refuse_job(durable_io, job, r < 0 ? "JetStream does not answer" : error.description);
}

static void take_made(struct durable_io *durable_io, struct durable_job *job,
                      struct bus_message *message)
{
    struct js_consumer_state state;
    int r = js_parse_consumer_info(bus_message_data(message), bus_message_length(message),
                                   &job->item->arena, &state);
    if (r == 0)
        finish(durable_io, job);
    else
        refuse_job(durable_io, job, r < 0 ? "JetStream does not answer" : state.error.description);
}

void durable_io_reply(struct durable_io *durable_io, const struct reply_tag *tag,
                      struct bus_message *message, int64_t now_ms)
{
    struct durable_job *job = job_of_number(durable_io, tag->n);
    owner_assert(&durable_io->outbound->owner);
    if (!job || job->deleted != (tag->step == STEP_MADE))
        return; /* too late: the reader has been told */
    if (bus_message_status(message))
        refuse_job(durable_io, job, "JetStream is away");
    else if (tag->step == STEP_DELETED)
        take_deleted(durable_io, job, message, now_ms);
    else
        take_made(durable_io, job, message);
}

/* ---- The clock, the end ---------------------------------------------------------------------- */

void durable_io_look_at_clock(struct durable_io *durable_io, int64_t now_ms)
{
    for (int i = 0; i < DURABLE_JOBS_MAX; i++)
        if (durable_io->jobs[i].item && now_ms >= durable_io->jobs[i].deadline_ms)
            refuse_job(durable_io, &durable_io->jobs[i], "no answer came from JetStream");
}

int64_t durable_io_due_ms(const struct durable_io *durable_io)
{
    int64_t due_ms = INT64_MAX;
    for (int i = 0; i < DURABLE_JOBS_MAX; i++)
        if (durable_io->jobs[i].item && durable_io->jobs[i].deadline_ms < due_ms)
            due_ms = durable_io->jobs[i].deadline_ms;
    return due_ms;
}

void durable_io_stop(struct durable_io *durable_io)
{
    for (int i = 0; i < DURABLE_JOBS_MAX; i++)
        if (durable_io->jobs[i].item)
            refuse_job(durable_io, &durable_io->jobs[i], "the service stops");
}

void durable_io_deinit(struct durable_io *durable_io)
{
    for (int i = 0; i < DURABLE_JOBS_MAX; i++)
        item_free(take(durable_io->jobs[i].item));
}
