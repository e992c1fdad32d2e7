/* Round trip: an event goes out as a message and comes back; shared by the targets of envelopes. */
#pragma once
#include "runtime/sync/envelope.h"

/* The services' two logs. */
extern const struct source account_leader, order_leader;

/* As it stands on the wire: "NATS/1.0\r\nkey: value\r\n…\r\n". */
void put_header_block(struct buf *out, const struct bus_header *headers, int count);

/* The block is read back as the same headers, in the same order. */
void expect_headers_come_back(const struct bus_header *headers, int count);

/* Encodes; 0 when the event cannot travel. Otherwise what goes on the wire is clean, is read back
 * as the same event with the same digest, or, only when may_be_refused, refused; 1. */
int round_trip(const struct event *event, const struct source *leader, _Bool may_be_refused);
