/* order-svc with a projection that account-svc's requests feed, see push.h. */
#include "pushed/push.h"
#include "service.h"

int main(int argc, char **argv)
{
    struct push push = { .service = &order_service,
                         .learn_subject = "order.push",
                         .push_subject = "account.push" };
    return push_main(&push, argc, argv);
}
