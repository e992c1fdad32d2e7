/* Trace: a program's calls to SQLite in a file: record.c writes it, replay.c makes the calls
 * again. */
#pragma once
#include <stdint.h>

enum trace_call {
    TRACE_PREPARE = 'P', /* data: the SQL */
    TRACE_INT = 'i',     /* bound to `parameter`; data: eight bytes */
    TRACE_TEXT = 't',
    TRACE_BLOB = 'b',
    TRACE_NULL = 'n',
    TRACE_STEP = 's', /* `parameter`: the answer of SQLite */
    TRACE_RESET = 'r',
    TRACE_FINALIZE = 'f',
    TRACE_SCRIPT = 'e', /* data: SQL for sqlite3_exec */
};

/* followed by `length` bytes of data, with a NUL after text and SQL, padded to 8 */
struct trace_record {
    uint8_t call;
    uint8_t parameter;
    uint16_t statement; /* its number, from 0 */
    uint32_t length;
};
