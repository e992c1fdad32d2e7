/* Results: how every function of the mesh says how it went.
 *
 *     < 0   failure: nobody asked for it (memory, disk, network, a bug). The negated `enum failure`.
 *       0   done.
 *     > 0   refusal: a listed answer that the caller must handle (refusal.h), NOT_FOUND of a
 *           function that finds, or another outcome that the function's own comment names.
 *
 * So `if (r != 0) return trace(r);` is right behind each call whose caller cannot go on without it.
 * A function whose name asks (customer_is_known, event_log_has_cause) is the exception: it says 1
 * for yes, 0 for no, < 0 for a failure.
 *
 * A failure is born with fail(), which notes its message and place; each caller that passes it on
 * does so with trace(), which notes its own place. One spot, the loop or main(), logs the record
 * with failure_text(). The record is thread-local, so no lock and no ownership is involved.
 */
#pragma once

enum failure {
    ERR_MEMORY = 1, /* malloc said no */
    ERR_IO,         /* a disk operation failed; what it left behind is unknown */
    ERR_FULL,       /* no space left on the disk, or a file reached its limit */
    ERR_READONLY,   /* the file or its folder cannot be written */
    ERR_CORRUPT,    /* the file is damaged: never write to it again */
    ERR_CONSTRAINT, /* a table refused a row */
    ERR_LOCKED,     /* another connection holds the lock; worth another try */
    ERR_NETWORK,    /* the bus refused or is not there */
    ERR_INVALID,    /* data from outside that does not mean anything */
    ERR_CONFIG,     /* configuration that cannot be used; a person must act */
    ERR_INTERNAL,   /* an assertion of ours does not hold */
};

/* What a finder says when there is no such thing. It has the number of REFUSED_NOT_FOUND, so that a
 * journey that passes it on refuses, and does so with the right code. */
#define NOT_FOUND 2

/* Notes a failure (printf-style message, no personal data) and returns -code. */
#define fail(code, ...)                                       \
    ({                                                        \
        const enum failure code_ = (code);                    \
        failure_note(code_, __FILE__, __LINE__, __VA_ARGS__); \
        -(int)code_;                                          \
    })

/* Passes a result on; adds this place to the record when it is a failure. */
#define trace(result)                                   \
    ({                                                  \
        const int result_ = (result);                   \
        if (__builtin_expect(result_ < 0, 0))           \
            failure_trace(result_, __FILE__, __LINE__); \
        result_;                                        \
    })

/* What these return is known already, and both are macros so that it is known where they stand: to
 * the compiler, and to what reads the code for faults. */
int failure_note(enum failure code, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5), cold));
int failure_trace(int result, const char *file, int line) __attribute__((cold));

/* "io: disk I/O error (db.c:120 < event_log.c:88)": the calling thread's newest record. Valid until
 * the thread's next fail(). */
const char *failure_text(void);

/* Its message alone, for a person who did not write the code. */
const char *failure_reason(void);

/* strerror() for threads: valid until the thread's next. */
const char *errno_text(int number);

/* "memory", "io", "full" …; accepts the code with either sign. */
const char *failure_name(int code);
