/* Fuzz: what a target and its two mains agree on.
 *
 * A target is one file with a fuzz_one(). With libfuzzer.c it becomes a program that searches for
 * inputs (scripts/dev/fuzz), with replay.c a test that runs the inputs of a folder
 * (tests/fuzz/corpus/TARGET). Whatever does not hold ends the process by abort(), which both mains
 * report. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* One input, of any bytes, not followed by a NUL. 1 when the code under test took it for good, 0
 * when it was refused: a corpus of which nothing is taken tests nothing, and its replay fails. */
int fuzz_one(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Holds in every build, whatever NDEBUG says. */
#define expect(condition)                                                                  \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                       \
        }                                                                                  \
    } while (0)
