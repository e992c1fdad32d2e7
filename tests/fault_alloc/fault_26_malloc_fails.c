/* Fault 26: malloc fails at every call. The journeys of both services run through the runtime's own loop, again and
 * again, each time with another call of malloc failing: the first, the second … until a whole run needs none
 * further. A step that failed is done again, under the same key, as its requester would; after a commit whose
 * outcome is unknown the loop is opened anew, as the restarted process would. In the end, each time:
 * - no crash and, under AddressSanitizer, no leak;
 * - a step that failed has left nothing behind, and is done by asking again;
 * - the log has the very events of a run without a failure, its chain verifies, and the tables are the same;
 * - the tables are the fold of the log (rule 2). */
#include "allocations.h"
#include "base/log.h"
#include "runtime/loop.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BEGIN_MS INT64_C(1795000000000)
#define TRIES_MAX 3                   /* one that fails, one more while failures go on, one that must succeed */
#define SETTLE_MAX 64
#define TEXTS_MAX 12
#define EVENTS_MAX 32

extern const struct service FAULT_SERVICE;

/* A step: a request under its own key, or an event of another's log (subject is then "LOG Type"). */
struct step { const char *subject, *entity, *body; };

#define ANNA "acc_00000000-0000-0000-0000-00000000000a"
#define CARD "crd_00000000-0000-0000-0000-000000000001"
#define ORDER "ord_00000000-0000-0000-0000-000000000009"
#define HOME "{\"street\":\"Main St 1\",\"city\":\"Ulm\",\"postal_code\":\"89073\",\"country\":\"DE\"}"

#ifdef FAULT_ORDER
static const struct step steps[] = {
    { "order.add-product", NULL, "{\"sku\":\"tea\",\"name\":\"Tea\",\"price\":{\"amount\":500,\"currency\":\"EUR\"},\"stock\":10}" },
    { "ACCOUNT AccountRegistered", ANNA, "{\"account_id\":\"" ANNA "\",\"name\":\"Anna\",\"email\":\"anna@example.com\",\"address\":" HOME "}" },
    { "ACCOUNT CardAdded", ANNA, "{\"account_id\":\"" ANNA "\",\"card_id\":\"" CARD "\",\"card_token\":\"tok_ok\",\"brand\":\"Visa\",\"last4\":\"4242\",\"expires\":\"2030-12\"}" },
    { "order.place", NULL, "{\"account_id\":\"" ANNA "\",\"lines\":[{\"sku\":\"tea\",\"quantity\":2}]}" },
    { "order.place", NULL, "{\"account_id\":\"" ANNA "\",\"lines\":[{\"sku\":\"tea\",\"quantity\":99}]}" },
    { "order.receive-stock", NULL, "{\"sku\":\"tea\",\"quantity\":5}" },
    { "ACCOUNT CardRemoved", ANNA, "{\"account_id\":\"" ANNA "\",\"card_id\":\"" CARD "\"}" },
    { "order.place", NULL, "{\"account_id\":\"" ANNA "\",\"lines\":[{\"sku\":\"tea\",\"quantity\":1}]}" },
};
#else
static const struct step steps[] = {
    { "account.register", NULL, "{\"name\":\"Bert\",\"email\":\"bert@example.com\",\"address\":" HOME "}" },
    { "account.register", NULL, "{\"name\":\"\",\"email\":\"bert@example.com\",\"address\":" HOME "}" },
    { "account.add-card", NULL, "{\"account_id\":\"" ANNA "\",\"card_token\":\"tok_ok\",\"brand\":\"Visa\",\"last4\":\"4242\",\"expires\":\"2030-12\"}" },
    { "ORDER PaymentFailed", ORDER, "{\"order_id\":\"" ORDER "\",\"account_id\":\"" ANNA "\",\"card_id\":\"" CARD "\",\"attempt\":1,\"reason\":\"card_declined\"}" },
    { "account.register", NULL, "{\"name\":\"Cleo\",\"email\":\"cleo@example.com\",\"birthday\":\"1980-02-03\",\"address\":" HOME "}" },
};
#endif
#define STEPS ((int)(sizeof(steps) / sizeof(*steps)))
