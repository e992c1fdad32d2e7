/* Statistics, groups: the things that a field may be said of, how many of each there are and where
 * their numbers stand. See statistics.h. */
#include "runtime/watch/statistics.h"

static int count_one(const struct statistics *of)
{
    (void)of;
    return 1;
}

static int count_sources(const struct statistics *of)
{
    int count = 0;
    while (of->service->sources && of->service->sources[count].log)
        count++;
    return count;
}

static int count_endpoints(const struct statistics *of)
{
    return of->endpoint_count;
}

static const char *name_source(const struct statistics *of, int i)
{
    return of->service->sources[i].log;
}

static const char *name_endpoint(const struct statistics *of, int i)
{
    return of->endpoints[i].subject;
}

static int count_work(const struct statistics *of)
{
    int count = 0;
    while (of->service->work && of->service->work[count] && count < WORK_TYPES_MAX)
        count++;
    return count;
}

static const char *name_work(const struct statistics *of, int i)
{
    return of->service->work[i]->name;
}

static const void *work_base(const struct statistics *of, int i)
{
    return &of->status->work[i];
}

static const void *service_base(const struct statistics *of, int i)
{
    (void)i;
    return of->status;
}

static const void *source_base(const struct statistics *of, int i)
{
    return &of->status->sources[i];
}

static const void *endpoint_base(const struct statistics *of, int i)
{
    return &of->endpoints[i];
}

const struct statistics_group statistics_groups[] = {
    [OF_SERVICE] = { NULL, NULL, count_one, NULL, service_base },
    [OF_SOURCE] = { "sources", "log", count_sources, name_source, source_base },
    [OF_WORK] = { "work", "work", count_work, name_work, work_base },
    [OF_ENDPOINT] = { NULL, "subject", count_endpoints, name_endpoint, endpoint_base },
};
