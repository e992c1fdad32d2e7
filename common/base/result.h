/* Results: what every function of the mesh returns that can fail.
 *
 *     < 0   failure: memory, disk, network, invalid data or a bug. The negated `enum failure`.
 *       0   done.
 *     > 0   refusal: a listed answer that the caller must handle (refusal.h), NOT_FOUND of a
 *           function that finds, or another outcome that the function's own comment names.
 *
 * So `if (r != 0) return trace(r);` is right behind each call whose caller cannot go on without it.
 * A function whose name asks (customer_is_known, event_log_has_cause) is the exception: it says 1
 * for yes, 0 for no, < 0 for a failure.
 *
 * fail() makes a failure, and notes its message and place. Each caller that passes the failure on
 * does so with trace(), which adds the caller's place. The loop or main() logs the record with
 * failure_text(). The record is thread-local, so it needs neither a lock nor an owner.
 */
#pragma once

enum failure {
    ERR_MEMORY = 1, /* malloc failed */
    ERR_IO,         /* a disk operation failed; what was written is unknown */
    ERR_FULL,       /* no space left on the disk, or a file reached its limit */
    ERR_READONLY,   /* the file or its folder cannot be written */
    ERR_CORRUPT,    /* the file is damaged and must not be written again */
    ERR_CONSTRAINT, /* a table refused a row */
    ERR_LOCKED,     /* another connection holds the lock; a retry may succeed */
    ERR_NETWORK,    /* the bus refused, or is not connected */
    ERR_INVALID,    /* data from outside that is malformed */
    ERR_CONFIG,     /* a configuration that cannot be used; an operator must change it */
    ERR_INTERNAL,   /* a bug of ours */
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

/* Callers use the macros above: with them the compiler and the analysers know what is returned. */
int failure_note(enum failure code, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5), cold));
int failure_trace(int result, const char *file, int line) __attribute__((cold));

/* "io: disk I/O error (db.c:120 < event_log.c:88)": the newest record of the calling thread. Valid
 * until the next fail() on this thread. */
const char *failure_text(void);

/* The message of that record without the places: for a person who does not know the code. */
const char *failure_reason(void);

/* strerror() that is safe with threads: valid until the next call on this thread. */
const char *errno_text(int number);

/* "memory", "io", "full" …; the code may have either sign. */
const char *failure_name(int code);
