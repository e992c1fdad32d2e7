/* order-svc: ordering something. What it does stands in service.c. */
#include "service.h"

int main(int argc, char **argv)
{
    return service_main(&order_service, argc, argv);
}
