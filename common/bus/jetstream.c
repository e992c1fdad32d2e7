/* JetStream: see jetstream.h. Here are the replies, decoded by the contracts in schemas/nats; the
 * requests are in jetstream_request.c. */
#include "bus/jetstream.h"
#include "base/result.h"
#include "schemas/nats/js_consumer_info.h"
#include "schemas/nats/js_consumer_list.h"
#include "schemas/nats/js_done.h"
#include "schemas/nats/js_message.h"
#include "schemas/nats/js_pub_ack.h"
#include "schemas/nats/js_stream_info.h"
#include <assert.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Replies -------------------------------------------------------------------------------- */

static int decode_reply(const struct schema *schema, const char *data, size_t length,
                        struct arena *arena, void *ret_value)
{
    assert(data && arena);
    struct invalid invalid;
    void *value = NULL;
    int r = schema_decode(schema, data, length, arena, &value, &invalid);
    if (r < 0)
        return trace(r);
    if (r > 0)
        return fail(ERR_INVALID, "a reply of JetStream: %s %s", invalid.field, invalid.message);
    memcpy(ret_value, &value, sizeof(value));
    return 0;
}

static int clamp_int(int64_t value)
{
    return value < 0 || value > INT_MAX ? INT_MAX : (int)value;
}

/* An error without a code counts as 500. */
static int status_code(int64_t value)
{
    return value == 0 ? 500 : clamp_int(value);
}

/* The schema of each reply has an error of the same shape, and a struct of its own for it. */
#define READ_ERROR(reply)                                                                       \
    ((struct js_error){ .code = (reply)->error ? status_code((reply)->error->code) : 0,         \
                        .error_code = (reply)->error ? clamp_int((reply)->error->err_code) : 0, \
                        .description = (reply)->error && (reply)->error->description            \
                                           ? (reply)->error->description                        \
                                           : "" })

int js_parse_puback(const char *data, size_t length, struct arena *arena, struct js_puback *ret_ack)
{
    const struct js_pub_ack *reply = NULL;
    int r = decode_reply(&js_pub_ack_schema, data, length, arena, &reply);
    if (r < 0)
        return trace(r);
    if (!reply->error && (!reply->stream || reply->seq < 1))
        return fail(ERR_INVALID, "an acknowledgement without a stream or a sequence");
    *ret_ack = (struct js_puback){
        .error = READ_ERROR(reply),
        .stream = reply->stream,
        .sequence = reply->seq,
        .duplicate = reply->duplicate,
    };
    return reply->error ? JS_REFUSED : 0;
}

int js_parse_stream_info(const char *data, size_t length, struct arena *arena,
                         struct js_stream_state *ret_state)
{
    const struct js_stream_info *reply = NULL;
    int r = decode_reply(&js_stream_info_schema, data, length, arena, &reply);
    if (r < 0)
        return trace(r);
    struct js_stream_state state = { .error = READ_ERROR(reply) };
    if (reply->error) {
        *ret_state = state;
        return JS_REFUSED;
    }
    if (!reply->state || !reply->config || !reply->created)
        return fail(ERR_INVALID, "a stream without its state, configuration or time of creation");
    if (reply->state->messages < 0 || reply->state->first_seq < 0 || reply->state->last_seq < 0)
        return fail(ERR_INVALID, "a stream with negative numbers");
    state.created = reply->created;
    state.messages = reply->state->messages;
    state.bytes = reply->state->bytes;
    state.first_sequence = reply->state->first_seq;
    state.last_sequence = reply->state->last_seq;
    state.deleted_count = reply->state->num_deleted;
    state.subject = reply->config->subjects_count > 0 ? reply->config->subjects[0] : NULL;
    state.subject_count = (int64_t)reply->config->subjects_count;
    state.max_bytes = reply->config->max_bytes;
    state.max_age_ns = reply->config->max_age;
    state.discard = reply->config->discard ? reply->config->discard : "";
    state.replicas = reply->config->num_replicas;
    state.consumer_count = reply->state->consumer_count;
    state.config = json_text_find(json_text_of(data, length), "config");
    *ret_state = state;
    return 0;
}

int js_parse_consumer_info(const char *data, size_t length, struct arena *arena,
                           struct js_consumer_state *ret_state)
{
    const struct js_consumer_info *reply = NULL;
    int r = decode_reply(&js_consumer_info_schema, data, length, arena, &reply);
    if (r < 0)
        return trace(r);
    struct js_consumer_state state = { .error = READ_ERROR(reply) };
    if (reply->error) {
        *ret_state = state;
        return JS_REFUSED;
    }
    if (!reply->delivered || !reply->ack_floor || !reply->config || !reply->name)
        return fail(ERR_INVALID, "a consumer without its name, state or configuration");
    if (reply->delivered->stream_seq < 0 || reply->ack_floor->stream_seq < 0)
        return fail(ERR_INVALID, "a consumer with negative numbers");
    state.name = reply->name;
    state.created = reply->created ? reply->created : "";
    state.delivered_sequence = reply->delivered->stream_seq;
    state.acked_sequence = reply->ack_floor->stream_seq;
    state.pending_count = reply->num_pending;
    state.ack_pending_count = reply->num_ack_pending;
    state.waiting_count = reply->num_waiting;
    state.ack_policy = reply->config->ack_policy ? reply->config->ack_policy : "";
    state.start_sequence = reply->config->opt_start_seq;
    state.max_ack_pending = reply->config->max_ack_pending;
    state.max_batch = reply->config->max_batch;
    state.max_expires_ns = reply->config->max_expires;
    state.paused = reply->paused;
    state.config = json_text_find(json_text_of(data, length), "config");
    *ret_state = state;
    return 0;
}

int js_parse_consumer_list(const char *data, size_t length, struct arena *arena,
                           struct js_consumer_page *ret_page)
{
    const struct js_consumer_list *reply = NULL;
    int r = decode_reply(&js_consumer_list_schema, data, length, arena, &reply);
    if (r < 0)
        return trace(r);
    struct js_consumer_page page = { .error = READ_ERROR(reply),
                                     .total = reply->total,
                                     .offset = reply->offset };
    if (!reply->error) {
        struct json_members members;
        struct json_text key, value;
        page.consumers = json_text_find(json_text_of(data, length), "consumers");
        json_text_members_begin(&members, page.consumers);
        while (json_text_members_next(&members, &key, &value))
            page.count++;
    }
    *ret_page = page;
    return reply->error ? JS_REFUSED : 0;
}

int js_parse_success(const char *data, size_t length, struct arena *arena,
                     struct js_error *ret_error)
{
    const struct js_done *reply = NULL;
    int r = decode_reply(&js_done_schema, data, length, arena, &reply);
    if (r < 0)
        return trace(r);
    if (!reply->error && !reply->success)
        return fail(ERR_INVALID, "a reply of JetStream with neither success nor error");
    *ret_error = READ_ERROR(reply);
    return reply->error ? JS_REFUSED : 0;
}

/* ---- A stored message ----------------------------------------------------------------------- */

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Standard alphabet with padding, as Go writes it; NULL is an empty text. A NUL follows the
 * result. */
static int base64_decode(const char *text, struct arena *arena, char **ret_data, size_t *ret_length)
{
    size_t size = text ? strlen(text) : 0, length = 0;
    char *data = arena_alloc(arena, size / 4 * 3 + 1);
    if (!data)
        return fail(ERR_MEMORY, "no memory for a stored message");
    if (size % 4 != 0)
        return fail(ERR_INVALID, "base64 of an odd length");
    for (size_t i = 0; i < size; i += 4) {
        int padding = i + 4 < size
                          ? 0
                          : (text[i + 3] == '=') + (text[i + 3] == '=' && text[i + 2] == '=');
        uint32_t bits = 0;
        for (int j = 0; j < 4; j++) {
            int value = j >= 4 - padding ? 0 : base64_value(text[i + (size_t)j]);
            if (value < 0)
                return fail(ERR_INVALID, "base64 with a foreign character");
            bits = bits << 6 | (uint32_t)value;
        }
        for (int j = 0; j < 3 - padding; j++)
            data[length++] = (char)(bits >> (16 - 8 * j));
    }
    assert(length <= size / 4 * 3);
    data[length] = '\0';
    *ret_data = data;
    *ret_length = length;
    return 0;
}

int js_parse_message(const char *data, size_t length, struct arena *arena,
                     struct js_stored_message *ret_message)
{
    const struct js_message *reply = NULL;
    int r = decode_reply(&js_message_schema, data, length, arena, &reply);
    if (r < 0)
        return trace(r);
    struct js_stored_message message = { .error = READ_ERROR(reply) };
    if (reply->error) {
        *ret_message = message;
        return JS_REFUSED;
    }
    if (!reply->message || reply->message->seq < 1)
        return fail(ERR_INVALID, "a stored message without a sequence");
    char *body, *block;
    size_t block_length;
    struct bus_header *headers = NULL;
    r = base64_decode(reply->message->data, arena, &body, &message.view.data_length);
    if (r == 0)
        r = base64_decode(reply->message->hdrs, arena, &block, &block_length);
    if (r == 0 && block_length > 0)
        r = bus_headers_parse(block, block_length, arena, &headers, &message.view.header_count);
    if (r < 0)
        return trace(r);
    message.sequence = reply->message->seq;
    message.view.subject = reply->message->subject;
    message.view.headers = headers;
    message.view.data = body;
    *ret_message = message;
    return 0;
}

/* ---- Deliveries ----------------------------------------------------------------------------- */

#define DELIVERY_TOKENS_MAX 12

struct token {
    const char *text;
    size_t length;
};

static int token_number(struct token token, int64_t *ret_value)
{
    int64_t value = 0;
    for (size_t i = 0; i < token.length; i++) {
        char c = token.text[i];
        if (c < '0' || c > '9' || value > (INT64_MAX - 9) / 10)
            return -ERR_INVALID;
        value = value * 10 + (c - '0');
    }
    *ret_value = value;
    return token.length > 0 ? 0 : -ERR_INVALID;
}

static int token_name(struct token token, char ret_name[65])
{
    if (token.length == 0 || token.length > 64)
        return -ERR_INVALID;
    memcpy(ret_name, token.text, token.length);
    ret_name[token.length] = '\0';
    return 0;
}

int js_parse_delivery(const char *reply, struct js_delivery *ret_delivery)
{
    struct token tokens[DELIVERY_TOKENS_MAX];
    int count = 0;
    for (const char *at = reply; reply && count < DELIVERY_TOKENS_MAX;
         at += tokens[count - 1].length + 1) {
        tokens[count++] = (struct token){ at, strcspn(at, ".") };
        if (at[tokens[count - 1].length] == '\0')
            break;
    }
    assert(count <= DELIVERY_TOKENS_MAX);
    /* $JS.ACK.<stream>.<consumer> and five numbers. Newer servers may put <domain>.<account hash>
     * before the stream, and a random token behind the numbers. */
    int first = count == 9 ? 2 : count >= 11 ? 4 : 0;
    struct js_delivery delivery;
    if (first == 0 || strncmp(reply, "$JS.ACK.", 8) != 0 ||
        token_name(tokens[first], delivery.stream) < 0 ||
        token_name(tokens[first + 1], delivery.consumer) < 0 ||
        token_number(tokens[first + 2], &delivery.delivered_count) < 0 ||
        token_number(tokens[first + 3], &delivery.stream_sequence) < 0 ||
        token_number(tokens[first + 4], &delivery.consumer_sequence) < 0 ||
        token_number(tokens[first + 5], &delivery.time_ns) < 0 ||
        token_number(tokens[first + 6], &delivery.pending_count) < 0)
        return fail(ERR_INVALID, "not the reply subject of a delivery");
    *ret_delivery = delivery;
    return 0;
}
