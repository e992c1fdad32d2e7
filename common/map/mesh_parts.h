/* Mesh, parts: what the files of mesh.h share. */
#pragma once
#include "map/mesh.h"

/* NULL: there is no room, or no memory. */
struct mesh_service *mesh_add(struct mesh *mesh, const char *name);
/* The instance with this id, or a new one; NULL: there is no room. */
struct mesh_instance *mesh_instance_of(struct mesh_service *service, const char *id,
                                       const char *host);
/* Of all its instances that answer. */
void mesh_sum_rates(const struct mesh_service *service, double ret_rate_of[MESH_BUCKETS],
                    struct mesh_second *second);
