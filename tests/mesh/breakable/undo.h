/* Undo: a file of what a disk may still forget, for a power cut later on. Records in the order of
 * the calls; all numbers are those of the machine. The caller takes care that one thread at a time
 * calls. */
#pragma once
#include <stdint.h>

enum undo_kind { UNDO_WRITE = 1, UNDO_TRUNCATE, UNDO_SYNC, UNDO_SYNC_FAILED, UNDO_DELETE };

struct undo_record {
    uint32_t magic; /* UNDO_MAGIC */
    uint8_t kind;   /* enum undo_kind */
    uint8_t file;   /* 0 the database, 1 its WAL */
    uint16_t reserved;
    int64_t offset;     /* of a write; the new size of a truncation */
    int64_t length;     /* of a write */
    int64_t old_size;   /* of the file, before */
    int64_t old_length; /* so many bytes of what was there before follow this record */
};
#define UNDO_MAGIC 0x6f646e75u

void undo_open(const char *path);
_Bool undo_is_open(void);
/* aborts when it cannot be written */
void undo_note(const struct undo_record *record, const void *old_data);
