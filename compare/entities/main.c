/* The main of an entity service, which the build names (ENTITY_SERVICE). */
#include "entities.h"

int main(int argc, char **argv)
{
    return service_main(&ENTITY_SERVICE, argc, argv);
}
