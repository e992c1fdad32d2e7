/* Secrets: see secrets.h. */
#include "base/secrets.h"
#include "base/result.h"
#include <assert.h>
#include <errno.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

int secrets_forbid_dumps(void)
{
    const struct rlimit none = { 0, 0 };
    /* either is enough; a unit's filter of system calls may forbid the first (LimitCORE=0 then) */
    (void)setrlimit(RLIMIT_CORE, &none);
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return fail(ERR_INTERNAL, "core files cannot be forbidden: %s", errno_text(errno));
    return 0;
}

int secrets_look_at_file(const char *path, enum secret_file *ret_is, unsigned *ret_mode)
{
    struct stat status;
    assert(path && ret_is && ret_mode);
    if (stat(path, &status) < 0)
        return fail(ERR_CONFIG, "%s: %s", path, errno_text(errno));
    *ret_mode = status.st_mode & 07777;
    *ret_is = SECRET_FILE_PRIVATE; /* a pipe and /dev/null, too */
    if (S_ISREG(status.st_mode) && (status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        *ret_is = SECRET_FILE_WRITABLE;
    else if (S_ISREG(status.st_mode) && (status.st_mode & (S_IRGRP | S_IROTH)) != 0)
        *ret_is = SECRET_FILE_READABLE;
    return 0;
}
