/* The main of an entity service; the build says which (ENTITY_SERVICE). */
#include "entities.h"

int main(int argc, char **argv)
{
    return service_main(&ENTITY_SERVICE, argc, argv);
}
