/* account-svc with a projection that order-svc's requests feed, see push.h. */
#include "pushed/push.h"
#include "service.h"

int main(int argc, char **argv)
{
    struct push push = { .service = &account_service,
                         .learn_subject = "account.push",
                         .push_subject = "order.push" };
    return push_main(&push, argc, argv);
}
