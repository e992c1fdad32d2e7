/* Reply subjects: where replies to the sender come to, below one inbox of this process. The subject
 * says what is replied to, so nothing has to be looked up:
 *
 *   <inbox>.a.<epoch>.<ahead>             acknowledgement of an event, or its refusal; ahead: the
 *                                         stream's sequence less our position
 *   <inbox>.f.<feed>.<epoch>.<pull>       a status of a pull; a delivery comes here too, but keeps
 *                                         its own subject
 *   <inbox>.q.<part>.<step>.<epoch>.<n>   every other reply; part and step are one character each
 *
 * Pure functions. A number that is too large is read as INT64_MAX, which is no epoch or id. */
#pragma once
#include <stdint.h>
#include "bus/headers.h"

/* The part of the sender that made the request. A feed's is PART_FEED + its number; SOURCES_MAX is
 * at most ten. */
enum part {
    PART_RELAY = 'r',
    PART_CALLS = 'c',
    PART_REDRIVE = 'p',
    PART_DURABLES = 'd',
    PART_FEED = '0'
};

struct reply_tag { /* of a reply to <inbox>.q: which request it answers */
    char part;     /* enum part */
    char step;     /* the part's own */
    int64_t epoch, n;
};

typedef char reply_subject[BUS_SUBJECT_MAX + 1];

void reply_subject_of_ack(reply_subject ret_subject, const char *inbox, int64_t epoch,
                          int64_t ahead);
void reply_subject_of_pull(reply_subject ret_subject, const char *inbox, int feed, int64_t epoch,
                           int64_t pull);
void reply_subject_of_request(reply_subject ret_subject, const char *inbox,
                              const struct reply_tag *tag);

/* False: the subject is not of this kind, or not below the inbox. */
_Bool reply_subject_read_ack(const char *subject, const char *inbox, int64_t *ret_epoch,
                             int64_t *ret_ahead);
_Bool reply_subject_read_pull(const char *subject, const char *inbox, int64_t *ret_epoch,
                              int64_t *ret_pull);
_Bool reply_subject_read_request(const char *subject, const char *inbox, struct reply_tag *ret_tag);
