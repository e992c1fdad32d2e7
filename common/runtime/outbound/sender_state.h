/* Sender's state: what is whole and ready, as its relay and feeds say, and what others are told of
 * it. A part of the sender (sender.h), on its thread. */
#pragma once
#include "runtime/outbound/sender.h"

/* Takes what relay and feeds have come to: into the status, the log, and who may ask us. */
void sender_report(struct sender *sender, int64_t now_ms);
