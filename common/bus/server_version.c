/* Server version: see server_version.h. */
#include "bus/server_version.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

#define KEY "\"_nats.ver\":\""

static const struct server_advisory advisories[] = {
#include "bus/server_advisories.inc"
};

void server_version_of_info(const char *data, size_t length, char ret_version[SERVER_VERSION_SIZE])
{
    size_t size = 0;
    assert(data && ret_version);
    const char *found = memmem(data, length, KEY, strlen(KEY));
    if (found) {
        found += strlen(KEY);
        while (size < SERVER_VERSION_SIZE - 1 && found + size < data + length &&
               strchr("0123456789.", found[size]) && found[size])
            size++;
        memcpy(ret_version, found, size);
    }
    ret_version[size] = '\0';
}

struct version {
    int major, minor, patch;
};

static struct version read_version(const char *text)
{
    struct version version = { 0 };
    /* NOLINTNEXTLINE(cert-err34-c): what is no number stays 0, an old version */
    (void)sscanf(text, "%d.%d.%d", &version.major, &version.minor, &version.patch);
    return version;
}

static int compare(const struct version *one, const struct version *other)
{
    if (one->major != other->major)
        return one->major - other->major;
    return one->minor != other->minor ? one->minor - other->minor : one->patch - other->patch;
}

/* In its own branch, or in the newest one and all later. */
static _Bool is_fixed(const struct server_advisory *advisory, const char *text)
{
    const struct version version = read_version(text);
    for (int i = 0; i < 3; i++) {
        const struct version fixed = read_version(advisory->fixed[i]);
        const _Bool is_branch = fixed.major == version.major && fixed.minor == version.minor;
        if ((is_branch || i == 2) && compare(&version, &fixed) >= 0)
            return 1;
    }
    return 0;
}

const struct server_advisory *server_version_next_advisory(const char *version, int *at)
{
    const int count = sizeof(advisories) / sizeof(*advisories);
    assert(version && at && *at >= 0);
    while (*at < count) {
        const struct server_advisory *advisory = &advisories[(*at)++];
        if (!is_fixed(advisory, version))
            return advisory;
    }
    return NULL;
}
