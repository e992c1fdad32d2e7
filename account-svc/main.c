/* account-svc: managing my account. What it does stands in service.c. */
#include "service.h"

int main(int argc, char **argv)
{
    return service_main(&account_service, argc, argv);
}
