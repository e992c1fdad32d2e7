/* Requests: a load's messages, prepared once from files and then copied, because the load shares
 * the machine with the services. A file is a body, or headers (from NATS/1.0 on), an empty line
 * and a body. What differs from request to request has its place in the file:
 *
 *   ten #            the request's number, with zeros before it
 *   ten ~            the same, with blanks before it, as JSON has numbers
 *   sixteen @        a number of this run
 *   sixteen ^        a number of this run and this request that rises in no order, like a UUID
 *   a list's mark    a word of the list; the mark's character as often as a word is long
 *
 * The words of a request are those of its number alone, so that it can be sent again; two places of
 * one list in one request get different words. */
#pragma once
#include "base/cleanup.h"
#include <stddef.h>
#include <stdint.h>

#define REQUEST_DIGITS 10 /* of a number */

/* How a word is chosen: each equally often, or the word at place n in 1/n of the cases of the
 * first, as with a shop's products (Zipf's law, exponent 1). */
enum choice { CHOICE_UNIFORM, CHOICE_TAIL };

struct words {
    char mark;
    char *text; /* the words, one after the other, without anything between them */
    size_t width;
    uint64_t count;
    double *sums; /* CHOICE_TAIL: of the shares up to each word; otherwise NULL */
};

struct request {
    char *bytes; /* of the whole protocol message, with places for what differs */
    size_t length;
    struct slot {
        enum slot_kind { SLOT_NUMBER, SLOT_BLANKS, SLOT_RANDOM, SLOT_WORD } kind;
        const struct words *words; /* SLOT_WORD */
        size_t at;
    } slots[16];
    int slot_count;
    const char *subject;
};

/* Reads a list, a word a line. Words must have one length, and be at least `needed`. NULL or what
 * is wrong with the file. */
const char *words_read(struct words *words, char mark, enum choice choice, const char *path);
void words_deinit(struct words *words);
DEFINE_DEINIT(words)

/* Prepares a message whose answer comes to `inbox`.`kind` and the number. The run makes keys
 * unique. The lists are borrowed. NULL or what is wrong with the file. */
const char *request_prepare(struct request *request, char kind, const char *subject,
                            const char *path, const char *inbox, uint64_t run,
                            const struct words *lists, int list_count);
void request_deinit(struct request *request);
DEFINE_DEINIT(request)

/* Writes what belongs to this number into its places. */
void request_write(struct request *request, int64_t number, uint64_t run);
