/* Reply subjects: where replies to the sender come to, below one inbox of this process. The subject
 * says what is replied to, so nothing has to be looked up:
 *
 *   <inbox>.a.<epoch>.<ahead>             acknowledgement of an event, or its refusal; ahead: the
 *                                         stream's sequence less our position
 *   <inbox>.f.<feed>.<epoch>.<pull>       a status of a pull; a delivery comes here too, but keeps
 *                                         its own subject
 *   <inbox>.o.<generation>.<pull>         likewise, of the reader of our own stream
 *   <inbox>.q.<part>.<step>.<epoch>.<n>   every other reply; part and step are one character each
 *
 *   <inbox>.w.<id>.<call>.<number>.<work>.<key>
 *                                         the answer to a call of a work list: which call it was,
 *                                         the row of service.calls, and the piece. So an answer is
 *                                         understood when its call is long forgotten
 *
 * In work and key a character outside of [A-Za-z0-9_-] is written as = and two hexadecimal digits.
 *
 * Pure functions. A number that is too large is read as INT64_MAX, which is no epoch or id. */
#pragma once
#include <stdint.h>
#include "bus/headers.h"
#include "work.h"

/* The part of the sender that made the request. A feed's is PART_FEED + its number; SOURCES_MAX is
 * at most ten. */
enum part {
    PART_RELAY = 'r',
    PART_CALLS = 'c',
    PART_REDRIVE = 'p',
    PART_DURABLES = 'd',
    PART_READERS = 'e',
    PART_PEERS = 's',
    PART_HANDOVER = 'h',
    PART_FEED = '0'
};

struct reply_tag { /* of a reply to <inbox>.q: which request it answers */
    char part;     /* enum part */
    char step;     /* the part's own */
    int64_t epoch, n;
};

struct call_tag { /* of an answer to <inbox>.w */
    int64_t id;   /* of the call */
    int64_t call; /* index of its row in service.calls */
    int64_t number;
    char work[WORK_KEY_SIZE]; /* name of the work type */
    char key[WORK_KEY_SIZE];
};

typedef char reply_subject[BUS_SUBJECT_MAX + 1];

void reply_subject_of_ack(reply_subject ret_subject, const char *inbox, int64_t epoch,
                          int64_t ahead);
void reply_subject_of_pull(reply_subject ret_subject, const char *inbox, int feed, int64_t epoch,
                           int64_t pull);
void reply_subject_of_own(reply_subject ret_subject, const char *inbox, int64_t generation,
                          int64_t pull);
void reply_subject_of_request(reply_subject ret_subject, const char *inbox,
                              const struct reply_tag *tag);

/* False: the subject would be longer than BUS_SUBJECT_MAX. */
_Bool reply_subject_of_call(reply_subject ret_subject, const char *inbox,
                            const struct call_tag *tag);

/* False: the subject is not of this kind, or not below the inbox. */
_Bool reply_subject_read_ack(const char *subject, const char *inbox, int64_t *ret_epoch,
                             int64_t *ret_ahead);
_Bool reply_subject_read_pull(const char *subject, const char *inbox, int64_t *ret_epoch,
                              int64_t *ret_pull);
_Bool reply_subject_read_own(const char *subject, const char *inbox, int64_t *ret_generation,
                             int64_t *ret_pull);
_Bool reply_subject_read_request(const char *subject, const char *inbox, struct reply_tag *ret_tag);
_Bool reply_subject_read_call(const char *subject, const char *inbox, struct call_tag *ret_tag);
