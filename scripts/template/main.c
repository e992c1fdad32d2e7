/* @name@: what it does stands in service.c. */
#include "service.h"

int main(int argc, char **argv)
{
    return service_main(&@name@_service, argc, argv);
}
