/* Secrets: what a process that knows passwords, keys and personal data does not leave behind, and
 * whether the files of its keys are its own alone. At the start, before there are other threads. */
#pragma once

/* No core file, and no debugger of the same user: a core file holds the password, and what the
 * customers' requests said. Best effort; where the system refuses, the failure is noted and the
 * process goes on: 0 or -ERR_INTERNAL. */
int secrets_forbid_dumps(void);

enum secret_file {
    SECRET_FILE_PRIVATE,
    SECRET_FILE_READABLE, /* by its group or by others */
    SECRET_FILE_WRITABLE, /* by its group or by others: they may put another key in its place */
};
/* ret_mode: of the file, 0644 for example. -ERR_CONFIG: it is not there. */
int secrets_look_at_file(const char *path, enum secret_file *ret_is, unsigned *ret_mode);
