/* Sender's lead: carries out what sync/lead.h says, on the parts of the sender. Who follows reads
 * our stream, and others' up to the leader's cursors, and answers queries; who leads publishes,
 * takes requests, reacts and pays. On the sender's thread. */
#pragma once
#include "runtime/outbound/sender.h"

/* A leader of others' streams removes a follower's consumer that nobody asks for so long. */
#define FOLLOWER_INACTIVE_S 60
/* A new leader waits so long for what others have published, before it takes requests. */
#define CATCH_UP_MS 1000

void sender_lead_init(struct sender *sender, const struct positions *at, uint64_t seed);
/* All that lead_next says. True: something has changed, look again at once. */
_Bool sender_lead_act(struct sender *sender, int64_t now_ms);
/* Nobody else serves: neither at the start nor, as far as is known, any more. */
void sender_lead_alone(struct sender *sender, int64_t now_ms);
/* A heartbeat, which it takes over. */
void sender_lead_heard(struct sender *sender, struct bus_message *received, int64_t now_ms);
/* A stop, and all is settled: when the stream has all of our log, a standby may lead at once. */
void sender_lead_end(struct sender *sender);
int64_t sender_lead_due_ms(const struct sender *sender);
/* The server is there: our stream, and others'. */
void sender_lead_connect(struct sender *sender, int64_t now_ms);
