/* Trace: what a program said to SQLite, call by call, in a file: record.c writes it, replay.c says
 * the same again. */
#pragma once
#include <stdint.h>

enum trace_call {
    TRACE_PREPARE = 'P', /* data: the SQL */
    TRACE_INT = 'i',     /* bound to `parameter`; data: eight bytes */
    TRACE_TEXT = 't',
    TRACE_BLOB = 'b',
    TRACE_NULL = 'n',
    TRACE_STEP = 's', /* `parameter`: what SQLite answered */
    TRACE_RESET = 'r',
    TRACE_FINALIZE = 'f',
    TRACE_SCRIPT = 'e', /* data: SQL for sqlite3_exec */
};

/* then `length` bytes of data, with a NUL after text and SQL, up to a multiple of 8 */
struct trace_record {
    uint8_t call;
    uint8_t parameter;
    uint16_t statement; /* its number, from 0 */
    uint32_t length;
};
