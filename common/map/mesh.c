/* Mesh: see mesh.h. This file has the services, and what follows from silence. */
#include "map/mesh.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "map/mesh_parts.h"

void mesh_deinit(struct mesh *mesh)
{
    for (int i = 0; i < mesh->count; i++)
        free(mesh->services[i]);
    mesh->count = 0;
}

struct mesh_service *mesh_find(struct mesh *mesh, const char *name)
{
    for (int i = 0; i < mesh->count; i++)
        if (strcmp(mesh->services[i]->name, name) == 0)
            return mesh->services[i];
    return NULL;
}

struct mesh_service *mesh_find_log(struct mesh *mesh, const char *log)
{
    for (int i = 0; i < mesh->count; i++)
        if (strcmp(mesh->services[i]->log, log) == 0)
            return mesh->services[i];
    return NULL;
}

struct mesh_service *mesh_add(struct mesh *mesh, const char *name)
{
    int at = 0;
    if (mesh->count == MESH_SERVICES_MAX) {
        mesh->left_out++;
        return NULL;
    }
    struct mesh_service *service = calloc(1, sizeof(*service));
    if (!service)
        return NULL;
    snprintf(service->name, sizeof(service->name), "%s", name);
    while (at < mesh->count && strcmp(mesh->services[at]->name, name) < 0)
        at++;
    for (int i = mesh->count; i > at; i--)
        mesh->services[i] = mesh->services[i - 1];
    mesh->services[at] = service;
    mesh->count++;
    return service;
}

/* The place of a newcomer: that of the instance of its host that is silent for longest, because a
 * process that starts again has another id; else a new one; else that of any silent one. */
static struct mesh_instance *place_for(struct mesh_service *service, const char *host)
{
    struct mesh_instance *place = NULL;
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < service->instance_count; i++) {
            struct mesh_instance *other = &service->instances[i];
            if (other->silent && (pass == 1 || strcmp(other->host, host) == 0) &&
                (!place || other->heard_ms < place->heard_ms))
                place = other;
        }
        if (place)
            return place;
        if (service->instance_count < MESH_INSTANCES_MAX)
            return &service->instances[service->instance_count++];
    }
    return NULL;
}

struct mesh_instance *mesh_instance_of(struct mesh_service *service, const char *id,
                                       const char *host)
{
    for (int i = 0; i < service->instance_count; i++)
        if (strcmp(service->instances[i].id, id) == 0)
            return &service->instances[i];
    struct mesh_instance *instance = place_for(service, host);
    if (!instance)
        return NULL;
    *instance = (struct mesh_instance){ 0 };
    snprintf(instance->id, sizeof(instance->id), "%s", id);
    snprintf(instance->host, sizeof(instance->host), "%s", host);
    return instance;
}

static _Bool leads(const struct mesh_instance *instance)
{
    return strcmp(instance->role, "leading") == 0 || !*instance->role;
}

const struct mesh_instance *mesh_leading(const struct mesh_service *service)
{
    const struct mesh_instance *found = NULL;
    for (int i = 0; i < service->instance_count; i++) {
        const struct mesh_instance *other = &service->instances[i];
        if (!found || (!other->silent && found->silent) ||
            (other->silent == found->silent &&
             (leads(other) > leads(found) ||
              (leads(other) == leads(found) && other->term > found->term))))
            found = other;
    }
    return found;
}

_Bool mesh_is_led(const struct mesh_service *service)
{
    const struct mesh_instance *leading = mesh_leading(service);
    return leading && !leading->silent && leads(leading);
}

int64_t mesh_lag(struct mesh *mesh, const struct mesh_service *service,
                 const struct mesh_source *source)
{
    const struct mesh_service *leader = mesh_find_log(mesh, source->log);
    const struct mesh_instance *leading = leader ? mesh_leading(leader) : NULL;
    int64_t lag = 0;
    if (leading)
        lag = leading->published - source->cursor;
    /* Both were told in the same second, and not at the same moment: what a reader that answers
     * says of itself is right. */
    return service->silent_since_ms == 0 || lag < source->lag ? source->lag : lag;
}

_Bool mesh_look(struct mesh *mesh, int64_t now_ms)
{
    _Bool changed = 0;
    for (int i = 0; i < mesh->count; i++) {
        struct mesh_service *service = mesh->services[i];
        _Bool answers = 0;
        for (int n = 0; n < service->instance_count; n++) {
            struct mesh_instance *instance = &service->instances[n];
            _Bool silent = now_ms - instance->heard_ms > MESH_SILENT_MS;
            changed |= silent != instance->silent;
            instance->silent = silent;
            if (silent)
                instance->request_rate = instance->refusal_rate = 0;
            answers |= !silent;
        }
        changed |= answers && service->silent_since_ms > 0;
        if (answers)
            service->silent_since_ms = 0;
        else if (service->silent_since_ms == 0 && service->instance_count > 0)
            service->silent_since_ms = mesh_leading(service)->heard_ms;
    }
    return changed;
}

void mesh_note(struct mesh *mesh, int64_t now_ms)
{
    (void)now_ms;
    for (int i = 0; i < mesh->count; i++) {
        struct mesh_service *service = mesh->services[i];
        const struct mesh_instance *leading = mesh_leading(service);
        double rate_of[MESH_BUCKETS];
        struct mesh_second second = { .up = mesh_is_led(service) };
        mesh_sum_rates(service, rate_of, &second);
        second.p50_ms = (float)mesh_percentile_ms(rate_of, 0.50);
        second.p99_ms = (float)mesh_percentile_ms(rate_of, 0.99);
        second.outbox = leading ? (float)leading->outbox : 0;
        for (int n = 0; n < service->source_count; n++) {
            float lag = (float)mesh_lag(mesh, service, &service->sources[n]);
            second.lag = lag > second.lag ? lag : second.lag;
        }
        service->history[service->seconds++ % MESH_HISTORY] = second;
    }
}

void mesh_sum_rates(const struct mesh_service *service, double ret_rate_of[MESH_BUCKETS],
                    struct mesh_second *second)
{
    memset(ret_rate_of, 0, sizeof(*ret_rate_of) * MESH_BUCKETS);
    for (int i = 0; i < service->instance_count; i++) {
        const struct mesh_instance *instance = &service->instances[i];
        if (instance->silent)
            continue;
        second->requests += (float)instance->request_rate;
        second->refusals += (float)instance->refusal_rate;
        for (int bucket = 0; bucket < MESH_BUCKETS; bucket++)
            ret_rate_of[bucket] += instance->rate_of[bucket];
    }
}

/* The bounds of the buckets; the last one has none. */
static const double bound_ms[MESH_BUCKETS - 1] = { 0.5, 1,   2.5, 5,    10,   25,   50,
                                                   100, 250, 500, 1000, 2500, 10000 };

double mesh_percentile_ms(const double rate_of[MESH_BUCKETS], double share)
{
    double all = 0, below = 0;
    assert(share > 0 && share < 1);
    for (int i = 0; i < MESH_BUCKETS; i++)
        all += rate_of[i];
    if (all <= 0)
        return -1;
    for (int i = 0; i < MESH_BUCKETS - 1; i++) {
        if (below + rate_of[i] >= share * all) {
            double from = i > 0 ? bound_ms[i - 1] : 0;
            return from + (bound_ms[i] - from) * (share * all - below) / rate_of[i];
        }
        below += rate_of[i];
    }
    return bound_ms[MESH_BUCKETS - 2];
}
