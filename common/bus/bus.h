/* Bus: the only door to nats.c. A connection that never gives up, subscriptions whose messages the
 * application owns, and publishing that never blocks for long.
 *
 * Inside are two connections: one that writes at once, for single replies, and one that gathers for a
 * millisecond, for many. Order is kept within each; everything of one kind goes over the same one: all
 * JetStream publishes are BUS_BULK, so that the stream gets them in the order of the log. Subscriptions
 * and connection events belong to the first.
 *
 * Handlers run on library threads: they check, decode and push, and never wait. Everything else may be
 * called from any thread. Failures: ERR_NETWORK (not connected, refused), ERR_MEMORY, ERR_INVALID (a
 * subject or header that must not be sent), ERR_CONFIG (credentials that cannot be used).
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "base/cleanup.h"

struct bus;                               /* opaque: the connections */
struct bus_message;                       /* opaque: one received message */
struct bus_subscription;

struct bus_options {
    const char *urls;                     /* "nats://127.0.0.1:4222[,…]" */
    const char *name;                     /* shown by the server */
    const char *inbox_prefix;             /* "_INBOX.order-svc" */
    const char *user, *password, *token;  /* NULL where not used */
    const char *credentials_file, *nkey_seed_file;
    const char *ca_file, *certificate_file, *key_file;
    void *context;
    void (*connected)(void *context);     /* first time and again */
    void (*disconnected)(void *context);
    void (*closed)(void *context);        /* for good: the process must end and be started again */
};

int bus_open(const struct bus_options *options, struct bus **ret_bus);   /* returns at once; connects in the background */
void bus_free(struct bus *bus);                                          /* no handler runs after this */
DEFINE_FREE(bus)
_Bool bus_is_connected(const struct bus *bus);

struct bus_header { const char *key, *value; };
struct bus_outgoing {
    const char *subject;                  /* [A-Za-z0-9_$.-] only */
    const char *reply_to;                 /* NULL: none */
    const struct bus_header *headers;     /* ends with { 0 }; NULL: none; values are cleaned of CR and LF */
    const void *data;
    size_t length;
};
enum bus_urgency { BUS_URGENT, BUS_BULK };
int bus_publish(struct bus *bus, enum bus_urgency urgency, const struct bus_outgoing *message);
int bus_flush(struct bus *bus, int timeout_ms);                          /* waits until the server has it all */

typedef void bus_handler(void *context, struct bus_message *message);    /* the handler owns the message */
int bus_subscribe(struct bus *bus, const char *subject, const char *queue, bus_handler *handler, void *context,
                  struct bus_subscription **ret_subscription);           /* queue NULL: none */
void bus_subscription_drain(struct bus_subscription *subscription);      /* no new messages; those here still arrive */
void bus_subscription_free(struct bus_subscription *subscription);       /* free all messages of it before */
DEFINE_FREE(bus_subscription)

const char *bus_message_subject(const struct bus_message *message);
const char *bus_message_reply_to(const struct bus_message *message);     /* NULL: none */
const char *bus_message_data(const struct bus_message *message, size_t *ret_length);
int bus_message_status(const struct bus_message *message);               /* 503, 408 …: a message of the server itself; 0: none */
void bus_message_free(struct bus_message *message);
DEFINE_FREE(bus_message)

/* The first value of a header, whatever the case of its key; NULL: none. Valid as long as the message. */
const char *bus_message_header(struct bus_message *message, const char *key);

/* A fresh part for inbox subjects, "Xu7…": unique in the mesh. At least 23 bytes. */
int bus_unique(struct bus *bus, char *ret_text, size_t size);

_Bool bus_subject_is_safe(const char *subject);
const char *bus_library_version(void);
