/* Results: how every function of the mesh says how it went.
 *
 *     < 0   failure: nobody asked for it (memory, disk, network, a bug). The negated `enum failure`.
 *       0   done.
 *     > 0   refusal: a listed answer that the caller must handle (see refusal.h), or another
 *           positive outcome that the function's own comment names.
 *
 * A failure is born with fail(), which notes its message and place; each caller that passes it on
 * does so with trace(), which notes its own place. One spot, the loop or main(), logs the record
 * with failure_text(). The record is thread-local, so no lock and no ownership is involved.
 */
#pragma once

enum failure {
    ERR_MEMORY = 1,      /* malloc said no */
    ERR_IO,              /* a disk operation failed; what it left behind is unknown */
    ERR_FULL,            /* no space left on the disk, or a file reached its limit */
    ERR_READONLY,        /* the file or its folder cannot be written */
    ERR_CORRUPT,         /* the file is damaged: never write to it again */
    ERR_CONSTRAINT,      /* a table refused a row */
    ERR_LOCKED,          /* another connection holds the lock; worth another try */
    ERR_NETWORK,         /* the bus refused or is not there */
    ERR_INVALID,         /* data from outside that does not mean anything */
    ERR_CONFIG,          /* configuration that cannot be used; a person must act */
    ERR_INTERNAL,        /* an assertion of ours does not hold */
};

/* Notes a failure (printf-style message, no personal data) and returns -code. */
#define fail(code, ...) failure_below_0(failure_note((code), __FILE__, __LINE__, __VA_ARGS__))

/* Passes a result on; adds this place to the record when it is a failure. */
#define trace(result) failure_trace((result), __FILE__, __LINE__)

int failure_note(enum failure code, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5), cold));
void failure_passed_on(const char *file, int line) __attribute__((cold));

/* Inline, so that a compiler and what reads the code for faults know that a failure is < 0 and what goes well stays 0. */
static inline int failure_below_0(int result)
{
    if (result >= 0)
        __builtin_unreachable();
    return result;
}

static inline int failure_trace(int result, const char *file, int line)
{
    if (__builtin_expect(result < 0, 0))
        failure_passed_on(file, line);
    return result;
}

/* "io: disk I/O error (db.c:120 < event_log.c:88)": the calling thread's newest record. Valid until
 * the thread's next fail(). */
const char *failure_text(void);

/* Its message alone, for a person who did not write the code. */
const char *failure_reason(void);

/* strerror() for threads: valid until the thread's next. */
const char *error_text(int number);

/* "memory", "io", "full" …; accepts the code with either sign. */
const char *failure_name(int code);
