/* Client rate: see client_rate.h. */
#include "runtime/request/client_rate.h"
#include "base/log.h"
#include "contract/schema.h"
#include "schemas/nats/request_info.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SECOND_NS 1000000000
#define HEADER "Nats-Request-Info"
#define INFO_MAX 4096 /* bytes of the header; the server writes a few hundred */

void client_rate_init(struct client_rate *rate, int64_t per_second)
{
    assert(per_second >= 0);
    rate->per_second = per_second;
    pthread_mutex_init(&rate->lock, NULL);
}

void client_rate_deinit(struct client_rate *rate)
{
    pthread_mutex_destroy(&rate->lock);
}

/* ---- Who asks ------------------------------------------------------------------------------- */

/* The server writes it once, and in this spelling: another case of letters, which it does not take
 * away, is the sender's. */
enum refusal client_name(const struct bus_view *view, char ret_name[CLIENT_NAME_SIZE])
{
    const char *text = NULL;
    for (int i = 0; i < view->header_count; i++) {
        if (strcasecmp(view->headers[i].key, HEADER) != 0)
            continue;
        if (text || strcmp(view->headers[i].key, HEADER) != 0)
            return REFUSED_INVALID_REQUEST;
        text = view->headers[i].value;
    }
    snprintf(ret_name, CLIENT_NAME_SIZE, "anonymous");
    if (!text)
        return 0;
    _deinit_(arena) struct arena arena = { 0 };
    struct invalid invalid;
    void *decoded = NULL;
    size_t length = strnlen(text, INFO_MAX + 1);
    if (length > INFO_MAX ||
        schema_decode(&request_info_schema, text, length, &arena, &decoded, &invalid) != 0)
        return REFUSED_INVALID_REQUEST;
    const struct request_info *info = decoded;
    snprintf(ret_name, CLIENT_NAME_SIZE, "%s/%s", info->acc, info->user ? info->user : "");
    return 0;
}

#define HASH_START 14695981039346656037u

static uint64_t hash_on(uint64_t hash, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (uint8_t)text[i]) * 1099511628211u;
    return hash;
}

/* The value behind a member's name, up to its quote. The header is the server's own, and is not
 * worth a parser for this. */
static uint64_t hash_member(uint64_t hash, const char *json, const char *name)
{
    const char *value = strstr(json, name);
    return value ? hash_on(hash, value + strlen(name), strcspn(value + strlen(name), "\"")) : hash;
}

uint32_t client_of(const struct bus_view *view, const char *reply_to)
{
    uint64_t hash = HASH_START;
    const char *info = bus_header_find(view, HEADER);
    if (info) {
        hash = hash_member(hash, info, "\"acc\":\"");
        hash = hash_member(hash, info, "\"user\":\"");
    } else if (reply_to) {
        size_t length = strcspn(reply_to, ".");
        length += reply_to[length] == '.';
        hash = hash_on(hash, reply_to, length + strcspn(reply_to + length, "."));
    }
    return (uint32_t)(hash >> 32);
}

/* FNV-1a. The names are the server's own, so nobody can choose one that falls together with
 * another's. */
static uint64_t hash(const char *name)
{
    return hash_on(HASH_START, name, strlen(name));
}

/* ---- How much it may ------------------------------------------------------------------------ */

static int64_t *find_bucket(struct client_rate *rate, uint64_t client)
{
    int idlest = 0;
    assert(rate->count >= 0 && rate->count <= CLIENT_RATE_CLIENTS_MAX);
    for (int i = 0; i < rate->count; i++) {
        if (rate->buckets[i].client == client)
            return &rate->buckets[i].full_at_ns;
        if (rate->buckets[i].full_at_ns < rate->buckets[idlest].full_at_ns)
            idlest = i;
    }
    if (rate->count < CLIENT_RATE_CLIENTS_MAX)
        idlest = rate->count++;
    rate->buckets[idlest].client = client;
    rate->buckets[idlest].full_at_ns = 0;
    return &rate->buckets[idlest].full_at_ns;
}

/* A request counts as one, and as one more for each 4 KiB of its body and headers. */
static int64_t cost_of(const struct bus_view *view)
{
    size_t bytes = view->data_length;
    for (int i = 0; i < view->header_count; i++)
        bytes += strlen(view->headers[i].value);
    return 1 + (int64_t)(bytes / CLIENT_RATE_BYTES);
}

/* A long request may come when there is room for a short one; the next ones wait the longer. */
static _Bool takes(struct client_rate *rate, uint64_t client, int64_t cost, int64_t now_ns)
{
    assert(rate->per_second > 0 && cost > 0);
    int64_t share_ns = SECOND_NS / rate->per_second;
    int64_t *full_at_ns = find_bucket(rate, client);
    int64_t from_ns = *full_at_ns > now_ns ? *full_at_ns : now_ns;
    if (from_ns + share_ns - now_ns > SECOND_NS)
        return 0;
    *full_at_ns = from_ns + cost * share_ns;
    return 1;
}

enum refusal client_rate_refuses(struct client_rate *rate, const struct bus_view *view,
                                 const char *account, int64_t now_ns, char *message, size_t size)
{
    char name[CLIENT_NAME_SIZE];
    if (rate->per_second == 0)
        return 0;
    if (client_name(view, name) != 0) {
        snprintf(message, size, HEADER " is the server's to set");
        return REFUSED_INVALID_REQUEST;
    }
    if (account)
        snprintf(name, sizeof(name), "account %s", account);
    pthread_mutex_lock(&rate->lock);
    _Bool taken = takes(rate, hash(name), cost_of(view), now_ns);
    _Bool tell = !taken && (rate->told_ns == 0 || now_ns - rate->told_ns > SECOND_NS);
    if (tell)
        rate->told_ns = now_ns;
    pthread_mutex_unlock(&rate->lock);
    if (taken)
        return 0;
    long long refused = atomic_fetch_add(&rate->refused, 1) + 1;
    if (tell) /* not for each: they are many */
        log_warn("client_over_rate", LOG_TEXT("client", name),
                 LOG_INT("refused_since_start", refused));
    snprintf(message, size, "this client makes more than %lld requests a second; try again",
             (long long)rate->per_second);
    return REFUSED_BUSY;
}
