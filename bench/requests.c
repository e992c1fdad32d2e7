/* Requests: see requests.h. */
#include "requests.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_SIZE (1 << 20) /* of a list, or of headers and body */
#define LINE_SIZE 512       /* of the protocol line before them */
#define RUN_SLOT "@@@@@@@@@@@@@@@@"
#define RANDOM_SLOT "^^^^^^^^^^^^^^^^"
#define HEX_DIGITS 16
#define WORD_MAX 200
#define SLOTS_MAX ((int)(sizeof((struct request){ 0 }.slots) / sizeof(struct slot)))

/* A number like any other for each i: Steele, Lea, Flood, "Fast splittable pseudorandom number
 * generators", 2014. */
static uint64_t mix(uint64_t i)
{
    i += 0x9e3779b97f4a7c15;
    i = (i ^ i >> 30) * 0xbf58476d1ce4e5b9;
    i = (i ^ i >> 27) * 0x94d049bb133111eb;
    return i ^ i >> 31;
}

/* The text of a file, to be freed; NULL and the reason. */
static char *read_file(const char *path, const char **ret_why)
{
    char *text = malloc(FILE_SIZE);
    FILE *file = text ? fopen(path, "re") : NULL;
    size_t length = file ? fread(text, 1, FILE_SIZE, file) : 0;
    *ret_why = !text ? "there is no memory for it" : !file ? "cannot be read" : "is too large";
    if (file)
        fclose(file);
    if (!file || length == FILE_SIZE) {
        free(text);
        return NULL;
    }
    text[length] = '\0';
    return text;
}

/* ---- Lists of words ------------------------------------------------------------------------- */

static const char *make_tail(struct words *words)
{
    words->sums = malloc(words->count * sizeof(*words->sums));
    if (!words->sums)
        return "there is no memory for it";
    double sum = 0;
    for (uint64_t i = 0; i < words->count; i++)
        words->sums[i] = sum += 1.0 / (double)(i + 1);
    return NULL;
}

const char *words_read(struct words *words, char mark, enum choice choice, const char *path)
{
    const char *why;
    char *text = read_file(path, &why), *to = text;
    *words = (struct words){ .mark = mark, .text = text };
    if (!text)
        return why;
    words->width = strcspn(text, "\n");
    for (char *at = text; *at; words->count++) {
        const size_t length = strcspn(at, "\n"), step = length + (at[length] != '\0');
        if (length != words->width)
            return "has words of different lengths";
        memmove(to, at, length);
        to += length;
        at += step;
    }
    if (words->width < 1 || words->width > WORD_MAX)
        return "has no words, or words that are too long";
    return choice == CHOICE_TAIL ? make_tail(words) : NULL;
}

void words_deinit(struct words *words)
{
    free(words->text);
    free(words->sums);
}

static const char *choose(const struct words *words, uint64_t random)
{
    uint64_t low = random % words->count;
    if (words->sums) {
        const double wanted = (double)(random >> 11) / (double)(UINT64_C(1) << 53) *
                              words->sums[words->count - 1];
        uint64_t high = words->count - 1;
        for (low = 0; low < high;) {
            const uint64_t middle = (low + high) / 2;
            if (words->sums[middle] < wanted)
                low = middle + 1;
            else
                high = middle;
        }
    }
    return words->text + low * words->width;
}

/* ---- Preparing ------------------------------------------------------------------------------ */

static int add_slots(struct request *request, const char *mark, enum slot_kind kind,
                     const struct words *words)
{
    for (char *at = request->bytes; (at = strstr(at, mark)); at += strlen(mark)) {
        if (request->slot_count == SLOTS_MAX)
            return -1;
        request->slots[request->slot_count++] =
            (struct slot){ .kind = kind, .words = words, .at = (size_t)(at - request->bytes) };
    }
    return 0;
}

static void write_hex(char *at, uint64_t number)
{
    char text[HEX_DIGITS + 1];
    snprintf(text, sizeof(text), "%016" PRIx64, number);
    memcpy(at, text, HEX_DIGITS);
}

static const char *find_slots(struct request *request, uint64_t run, const struct words *lists,
                              int list_count)
{
    char mark[WORD_MAX + 1];
    for (char *at = request->bytes; (at = strstr(at, RUN_SLOT)); at += HEX_DIGITS)
        write_hex(at, run);
    int r = add_slots(request, "##########", SLOT_NUMBER, NULL) |
            add_slots(request, "~~~~~~~~~~", SLOT_BLANKS, NULL) |
            add_slots(request, RANDOM_SLOT, SLOT_RANDOM, NULL);
    for (int i = 0; i < list_count; i++) {
        memset(mark, lists[i].mark, lists[i].width);
        mark[lists[i].width] = '\0';
        r |= add_slots(request, mark, SLOT_WORD, &lists[i]);
    }
    return r < 0 ? "has too many places" : NULL;
}

const char *request_prepare(struct request *request, char kind, const char *subject,
                            const char *path, const char *inbox, uint64_t run,
                            const struct words *lists, int list_count)
{
    const char *why;
    char *text = read_file(path, &why);
    if (!text)
        return why;
    const size_t length = strlen(text), size = LINE_SIZE + length + 3;
    const char *end = strncmp(text, "NATS/1.0\r\n", 10) == 0 ? strstr(text, "\r\n\r\n") : text - 4;
    const size_t headers = end ? (size_t)(end + 4 - text) : 0;
    request->bytes = malloc(size);
    request->subject = subject;
    int line = 0;
    if (request->bytes && headers)
        line = snprintf(request->bytes, LINE_SIZE, "HPUB %s %s.%c########## %zu %zu\r\n", subject,
                        inbox, kind, headers, length);
    else if (request->bytes)
        line = snprintf(request->bytes, LINE_SIZE, "PUB %s %s.%c########## %zu\r\n", subject, inbox,
                        kind, length);
    why = !request->bytes     ? "there is no memory for it"
          : !end              ? "has headers that do not end"
          : line >= LINE_SIZE ? "has a subject that is too long"
                              : NULL;
    if (!why) {
        request->length = (size_t)line + (size_t)snprintf(request->bytes + line,
                                                          size - (size_t)line, "%s\r\n", text);
        why = find_slots(request, run, lists, list_count);
    }
    free(text);
    return why;
}

void request_deinit(struct request *request)
{
    free(request->bytes);
}

/* ---- Writing -------------------------------------------------------------------------------- */

static void write_number(char *at, int64_t number, char padding)
{
    for (int i = REQUEST_DIGITS - 1; i >= 0; i--, number /= 10)
        at[i] = number || i == REQUEST_DIGITS - 1 ? (char)('0' + number % 10) : padding;
}

/* Whether the word stands in an earlier place of the same list. */
static _Bool is_taken(const struct request *request, int slot, const char *word)
{
    const struct words *words = request->slots[slot].words;
    for (int i = 0; i < slot; i++)
        if (request->slots[i].words == words &&
            memcmp(request->bytes + request->slots[i].at, word, words->width) == 0)
            return 1;
    return 0;
}

static void write_word(struct request *request, int slot, uint64_t random)
{
    const struct words *words = request->slots[slot].words;
    const char *word = choose(words, random);
    for (uint64_t i = 0; i < words->count && is_taken(request, slot, word); i++)
        word = choose(words, random = mix(random));
    memcpy(request->bytes + request->slots[slot].at, word, words->width);
}

void request_write(struct request *request, int64_t number, uint64_t run)
{
    const uint64_t random = mix(run ^ (uint64_t)number);
    for (int i = 0; i < request->slot_count; i++) {
        char *at = request->bytes + request->slots[i].at;
        switch (request->slots[i].kind) {
        case SLOT_NUMBER: write_number(at, number, '0'); break;
        case SLOT_BLANKS: write_number(at, number, ' '); break;
        case SLOT_RANDOM: write_hex(at, random); break;
        case SLOT_WORD:   write_word(request, i, mix(random + (uint64_t)i)); break;
        }
    }
}
