/* Stream make: see stream_make.h. */
#include "runtime/outbound/stream_make.h"
#include "base/crash.h"
#include "base/log.h"
#include "runtime/outbound/stream_io.h"
#include <assert.h>

static void delete_stream(struct relay_io *relay_io, int64_t epoch, int64_t now_ms)
{
    _deinit_(js_request) struct js_request request;
    js_request_init(&request, NULL);
    log_warn("stream_deleted_to_be_made_anew", LOG_TEXT("stream", relay_io->stream.name),
             LOG_TEXT("reason", relay_io->relay.reason));
    stream_io_request(relay_io, STEP_DELETED, epoch, 0,
                      js_stream_delete(&request, relay_io->stream.name), &request, now_ms);
}

/* What others have set and made on it goes with it, so it is in our file before. A file that cannot
 * be written does not keep the stream from being healed. */
static void save_and_delete(struct relay_io *relay_io, int64_t epoch, int64_t now_ms)
{
    if (stream_keep_save(&relay_io->keep))
        relay_io->delete_epoch = epoch;
    else
        delete_stream(relay_io, epoch, now_ms);
}

void stream_make_settled(struct relay_io *relay_io, const struct batch *batch, int64_t now_ms)
{
    owner_assert(&relay_io->outbound->owner);
    if (!stream_keep_settled(&relay_io->keep, batch))
        return;
    const int64_t epoch = relay_io->delete_epoch;
    if (!batch->aborted && stream_keep_save(&relay_io->keep))
        return; /* it has changed meanwhile */
    relay_io->delete_epoch = 0;
    if (epoch > 0 && epoch == relay_io->relay.epoch)
        delete_stream(relay_io, epoch, now_ms);
}

static void create_stream(struct relay_io *relay_io, int64_t epoch, int64_t now_ms)
{
    _deinit_(js_request) struct js_request request;
    _deinit_(buf) struct buf config = { 0 };
    struct term newest = { 0 };
    js_request_init(&request, NULL);
    int built = terms_newest(relay_io->outbound->db, &newest);
    const struct stream_fill fill = { .term = newest.term, .head = relay_io->relay.head };
    stream_keep_put(&relay_io->keep, &fill, &config);
    if (built >= 0)
        built = buf_status(&config);
    if (built == 0)
        built = js_stream_create_as(&request, relay_io->stream.name, config.data);
    stream_io_request(relay_io, STEP_MADE, epoch, 0, built, &request, now_ms);
}

void stream_make_begin(struct relay_io *relay_io, const struct relay_action *action, int64_t now_ms)
{
    const struct reply_tag tag = { .part = PART_RELAY,
                                   .step = STEP_LISTED_LAST,
                                   .epoch = action->epoch };
    assert(action->kind == RELAY_DELETE_STREAM || action->kind == RELAY_MAKE_STREAM);
    if (action->kind == RELAY_MAKE_STREAM)
        create_stream(relay_io, action->epoch, now_ms);
    else if (!relay_io->keep.may_list) /* the right to it is missing: no answer would come */
        save_and_delete(relay_io, action->epoch, now_ms);
    else if (stream_keep_ask_list(&relay_io->keep, &tag) < 0) /* who reads it goes with it */
        relay_failed(&relay_io->relay, "the server cannot be asked", now_ms);
}

void stream_make_take_deleted(struct relay_io *relay_io, struct bus_message *message,
                              int64_t now_ms)
{
    static const char reason[] = "the stream cannot be deleted";
    _deinit_(arena) struct arena arena = { 0 };
    struct js_error error = { 0 };
    int r = bus_message_status(message)
                ? -ERR_NETWORK
                : js_parse_success(bus_message_data(message), bus_message_length(message), &arena,
                                   &error);
    if (r == 0 || (r == JS_REFUSED && error.error_code == JS_ERR_STREAM_NOT_FOUND)) {
        crash_point("after_stream_deleted");
        relay_made(&relay_io->relay, now_ms);
        return;
    }
    if (r == JS_REFUSED) {
        log_error("stream_refused", LOG_TEXT("reason", error.description));
        relay_io_explain(relay_io, reason, error.description);
    }
    relay_failed(&relay_io->relay, reason, now_ms);
}

void stream_make_take_created(struct relay_io *relay_io, struct bus_message *message,
                              int64_t now_ms)
{
    static const char reason[] = "the stream cannot be made";
    _deinit_(arena) struct arena arena = { 0 };
    struct js_stream_state state;
    int r = bus_message_status(message)
                ? -ERR_NETWORK
                : js_parse_stream_info(bus_message_data(message), bus_message_length(message),
                                       &arena, &state);
    if (r == 0) {
        log_warn("stream_made", LOG_TEXT("stream", relay_io->stream.name));
        crash_point("after_stream_made");
        stream_keep_made(&relay_io->keep, &state);
        relay_made(&relay_io->relay, now_ms);
        return;
    }
    if (r == JS_REFUSED) {
        log_error("stream_refused", LOG_TEXT("reason", state.error.description));
        relay_io_explain(relay_io, reason, state.error.description);
        if (state.error.code < 500)
            stream_keep_refused(&relay_io->keep);
    }
    relay_failed(&relay_io->relay, reason, now_ms);
}

void stream_make_take_mended(struct relay_io *relay_io, struct bus_message *message)
{
    _deinit_(arena) struct arena arena = { 0 };
    struct js_stream_state state;
    if (bus_message_status(message) == 0 &&
        js_parse_stream_info(bus_message_data(message), bus_message_length(message), &arena,
                             &state) == JS_REFUSED)
        log_error("stream_refused", LOG_TEXT("stream", relay_io->stream.name),
                  LOG_TEXT("reason", state.error.description));
}

/* Before the stream is deleted: who reads it, once more. No answer: as it was last seen. */
void stream_make_take_listed_last(struct relay_io *relay_io, int64_t epoch,
                                  struct bus_message *message, int64_t now_ms)
{
    stream_keep_take_list(&relay_io->keep, &relay_io->relay, message, 1);
    save_and_delete(relay_io, epoch, now_ms);
}

void stream_make_give_back(struct relay_io *relay_io, int64_t now_ms)
{
    const struct reply_tag tag = { .part = PART_RELAY, .step = STEP_GIVEN };
    stream_keep_give_back(&relay_io->keep, &relay_io->relay, &tag, now_ms);
}
