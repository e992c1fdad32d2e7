/* The load's requests: numbers, keys and words in their places, the same for the same number. */
#include "base/cleanup.h"
#include "requests.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NUMBERS 20000
#define COUNT 100 /* of the list's words */

static char folder[] = "/tmp/requests.XXXXXX";

static const char *file(const char *name, const char *text)
{
    static char path[64];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *to = fopen(path, "we");
    cr_assert(to);
    fputs(text, to);
    fclose(to);
    return path;
}

static void make_folder(void)
{
    snprintf(folder, sizeof(folder), "/tmp/requests.XXXXXX");
    cr_assert(mkdtemp(folder));
}

static void remove_folder(void)
{
    unlink(file("list", ""));
    unlink(file("request", ""));
    rmdir(folder);
}
TestSuite(requests, .init = make_folder, .fini = remove_folder);

static struct words list(enum choice choice)
{
    struct words words;
    char text[COUNT * 4 + 1];
    for (int i = 0; i < COUNT; i++)
        snprintf(text + 4 * i, 5, "w%02d\n", i);
    cr_assert_null(words_read(&words, '%', choice, file("list", text)));
    cr_assert_eq(words.count, COUNT);
    return words;
}

static int word_of(const struct request *request, int place)
{
    const char *at = strstr(request->bytes, "\r\n\r\n") + 4;
    return atoi(at + 4 * place + 1);
}

Test(requests, what_differs_has_its_place_and_is_that_of_the_number)
{
    _deinit_(request) struct request one = { 0 }, other = { 0 };
    _deinit_(words) struct words words = list(CHOICE_UNIFORM);
    const char *path = file("request",
                            "NATS/1.0\r\nKey: ^^^^^^^^^^^^^^^^-@@@@@@@@@@@@@@@@\r\n\r\n%%% "
                            "##########,~~~~~~~~~~");
    cr_assert_null(request_prepare(&one, 'r', "a.b", path, "_INBOX.x", 0xab, &words, 1));
    cr_assert_null(request_prepare(&other, 'r', "a.b", path, "_INBOX.x", 0xab, &words, 1));
    request_write(&one, 42, 0xab);
    cr_expect(strstr(one.bytes, "HPUB a.b _INBOX.x.r0000000042 52 77\r\n"), "%s", one.bytes);
    cr_expect(strstr(one.bytes, "-00000000000000ab\r\n\r\nw"), "%s", one.bytes);
    cr_expect(strstr(one.bytes, " 0000000042,        42\r\n"), "%s", one.bytes);
    request_write(&other, 43, 0xab);
    cr_expect(memcmp(strstr(one.bytes, "Key: "), strstr(other.bytes, "Key: "), 21) != 0);
    request_write(&other, 42, 0xab);
    cr_expect_str_eq(one.bytes, other.bytes, "asked again under its key");
}

Test(requests, words_of_one_request_differ)
{
    _deinit_(request) struct request request = { 0 };
    _deinit_(words) struct words words = list(CHOICE_TAIL);
    cr_assert_null(request_prepare(&request, 'r', "a", file("request", "%%% %%% %%% %%% %%%"), "i",
                                   1, &words, 1));
    char *body = strstr(request.bytes, "\r\n") + 2;
    for (int number = 0; number < NUMBERS; number++) {
        request_write(&request, number, 1);
        for (int i = 0; i < 5; i++)
            for (int j = 0; j < i; j++)
                cr_assert(memcmp(body + 4 * i, body + 4 * j, 3) != 0, "%s", body);
    }
}

Test(requests, few_words_of_a_tail_are_most_of_what_is_chosen)
{
    static const struct {
        enum choice choice;
        double first, tenth; /* shares of these words */
    } cases[] = { { CHOICE_UNIFORM, 0.01, 0.01 }, { CHOICE_TAIL, 0.1928, 0.0193 } };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        _deinit_(request) struct request request = { 0 };
        _deinit_(words) struct words words = list(cases[i].choice);
        int counts[COUNT] = { 0 };
        cr_assert_null(request_prepare(&request, 'r', "a", file("request", "NATS/1.0\r\n\r\n%%%"),
                                       "i", 7, &words, 1));
        for (int number = 0; number < NUMBERS; number++) {
            request_write(&request, number, 7);
            counts[word_of(&request, 0)]++;
        }
        cr_expect_float_eq((double)counts[0] / NUMBERS, cases[i].first, 0.01);
        cr_expect_float_eq((double)counts[9] / NUMBERS, cases[i].tenth, 0.005);
    }
}

Test(requests, a_file_that_cannot_be_used_is_named_by_what_is_wrong)
{
    _deinit_(words) struct words words, uneven, empty;
    _deinit_(request) struct request request = { 0 };
    cr_expect_str_eq(words_read(&uneven, '%', CHOICE_TAIL, file("list", "ab\nabc\n")),
                     "has words of different lengths");
    cr_expect_str_eq(words_read(&empty, '%', CHOICE_TAIL, file("list", "")),
                     "has no words, or words that are too long");
    cr_expect_str_eq(words_read(&words, '%', CHOICE_TAIL, "/nowhere"), "cannot be read");
    cr_expect_str_eq(request_prepare(&request, 'r', "a", file("request", "NATS/1.0\r\nA: b\r\n"),
                                     "i", 1, NULL, 0),
                     "has headers that do not end");
}
