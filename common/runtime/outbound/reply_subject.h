/* Reply subjects: where answers to the sender come to, below one inbox of this process. The subject
 * says what is answered, so nothing has to be looked up:
 *
 *   <inbox>.a.<epoch>.<ahead>               the stream took an event, or did not; ahead: its
 *                                           sequence less our position
 *   <inbox>.f.<feed>.<epoch>.<pull>         a status of a pull; a delivery comes here too, but
 *                                           keeps its own subject
 *   <inbox>.q.<asker>.<step>.<epoch>.<n>    all else; asker and step are one character each
 *
 * Pure functions. A number that is too large becomes the largest, for which nobody waits. */
#pragma once
#include <stdint.h>
#include "bus/headers.h"

enum asker { ASKER_RELAY = 'r', ASKER_CALLS = 'c', ASKER_REDRIVE = 'p', ASKER_FEED = '0' };
/* a feed's: ASKER_FEED + its number; SOURCES_MAX is at most ten */

struct question { /* what an answer to <inbox>.q is about */
    char asker, step;
    int64_t epoch, n;
};

typedef char reply_subject[BUS_SUBJECT_MAX + 1];

void reply_subject_of_ack(reply_subject ret_subject, const char *inbox, int64_t epoch,
                          int64_t ahead);
void reply_subject_of_pull(reply_subject ret_subject, const char *inbox, int feed, int64_t epoch,
                           int64_t pull);
void reply_subject_of_question(reply_subject ret_subject, const char *inbox,
                               const struct question *question);

/* False: it is none of these. `subject` begins with the inbox. */
_Bool reply_subject_read_ack(const char *subject, const char *inbox, int64_t *ret_epoch,
                             int64_t *ret_ahead);
_Bool reply_subject_read_pull(const char *subject, const char *inbox, int64_t *ret_epoch,
                              int64_t *ret_pull);
_Bool reply_subject_read_question(const char *subject, const char *inbox,
                                  struct question *ret_question);
