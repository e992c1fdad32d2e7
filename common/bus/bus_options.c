/* Bus on nats.c, options: from struct bus_options to nats.c's own. See bus.h. */
#include "bus/bus_nats.h"
#include "base/result.h"
#include "bus/nkey.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define URL_DEFAULT "nats://127.0.0.1:4222"
#define CONNECT_TIMEOUT_MS 2000
#define RECONNECT_WAIT_MS 250
#define PING_INTERVAL_MS 5000
#define PING_INTERVAL_OF_SEVERAL_MS 2000 /* a frozen server of a cluster is left in six seconds */
#define WRITE_DEADLINE_MS 3000
#define DELIVERY_THREADS 2
/* What waits in this buffer is stale. Not 0, which nats.c refuses. */
#define RECONNECT_BUFFER_BYTES 1024

#define OR_DEFAULT(value, otherwise) ((value) > 0 ? (value) : (otherwise))

int bus_delivery_threads(const struct bus_options *options)
{
    return OR_DEFAULT(options->delivery_threads, DELIVERY_THREADS);
}

int bus_ping_ms(const struct bus_options *options)
{
    const int ping_ms = options->url && strchr(options->url, ',') ? PING_INTERVAL_OF_SEVERAL_MS
                                                                  : PING_INTERVAL_MS;
    return OR_DEFAULT(options->ping_interval_ms, ping_ms);
}

static natsStatus set_limits(natsOptions *to, const struct bus_options *options,
                             enum bus_urgency urgency)
{
    const int wait_ms = OR_DEFAULT(options->reconnect_wait_ms, RECONNECT_WAIT_MS);
    natsStatus s =
        natsOptions_SetTimeout(to, OR_DEFAULT(options->connect_timeout_ms, CONNECT_TIMEOUT_MS));
    if (s == NATS_OK)
        s = natsOptions_SetMaxReconnect(to, -1);
    if (s == NATS_OK)
        s = natsOptions_SetReconnectWait(to, wait_ms);
    if (s == NATS_OK)
        s = natsOptions_SetReconnectJitter(to, wait_ms, wait_ms);
    if (s == NATS_OK)
        s = natsOptions_SetReconnectBufSize(to, RECONNECT_BUFFER_BYTES);
    if (s == NATS_OK)
        s = natsOptions_SetPingInterval(to, bus_ping_ms(options));
    if (s == NATS_OK)
        s = natsOptions_SetMaxPingsOut(to, PINGS_MAX);
    if (s == NATS_OK)
        s = natsOptions_SetWriteDeadline(to,
                                         OR_DEFAULT(options->write_deadline_ms, WRITE_DEADLINE_MS));
    if (s == NATS_OK)
        s = natsOptions_SetMaxPendingMsgs(to, BUS_PENDING_MAX);
    if (s == NATS_OK)
        s = natsOptions_SetFailRequestsOnDisconnect(to, true);
    if (s == NATS_OK)
        s = natsOptions_UseGlobalMessageDelivery(to, urgency == BUS_URGENT);
    if (s == NATS_OK)
        s = natsOptions_SetSendAsap(to, urgency != BUS_BULK);
    return s;
}

static int check_readable(const char *path)
{
    if (path && access(path, R_OK) < 0)
        return fail(ERR_CONFIG, "cannot read %s: %s", path, errno_text(errno));
    return 0;
}

static int set_login(natsOptions *to, const struct bus_options *options)
{
    char nkey[NKEY_PUBLIC_SIZE];
    int r = check_readable(options->credentials_file);
    if (r == 0 && options->nkey_file)
        r = nkey_public_of_file(options->nkey_file, nkey);
    if (r < 0)
        return trace(r);
    natsStatus s = NATS_OK;
    if (options->user)
        s = natsOptions_SetUserInfo(to, options->user, options->password ? options->password : "");
    if (s == NATS_OK && options->token)
        s = natsOptions_SetToken(to, options->token);
    if (s == NATS_OK && options->credentials_file)
        s = natsOptions_SetUserCredentialsFromFiles(to, options->credentials_file, NULL);
    if (s == NATS_OK && options->nkey_file)
        s = natsOptions_SetNKeyFromSeed(to, nkey, options->nkey_file);
    return s == NATS_OK ? 0 : fail(ERR_CONFIG, "the login for NATS: %s", natsStatus_GetText(s));
}

static int set_tls(natsOptions *to, const struct bus_options *options, const char *url)
{
    const char *certificate = options->tls_certificate_file, *key = options->tls_key_file,
               *ca = options->tls_ca_file;
    if (!certificate && !ca && !strstr(url, "tls://"))
        return 0;
    if (!certificate != !key)
        return fail(ERR_CONFIG, "a TLS certificate and its key go together");
    int r = check_readable(certificate);
    if (r == 0)
        r = check_readable(key);
    if (r == 0)
        r = check_readable(ca);
    if (r < 0)
        return trace(r);
    if (natsOptions_SetSecure(to, true) != NATS_OK)
        return fail(ERR_CONFIG, "this libnats was built without TLS");
    if (ca && natsOptions_LoadCATrustedCertificates(to, ca) != NATS_OK)
        return fail(ERR_CONFIG, "%s is not a file of CA certificates in PEM", ca);
    if (certificate && natsOptions_LoadCertificatesChain(to, certificate, key) != NATS_OK)
        return fail(ERR_CONFIG, "%s and %s are not a certificate and its key in PEM", certificate,
                    key);
    return 0;
}

/* One, or several with commas, tried in turn from the first on: nats.c takes a list apart from one
 * address. */
static natsStatus set_servers(natsOptions *to, const char *list)
{
    char copy[BUS_SERVERS_SIZE];
    const char *servers[BUS_SERVERS_MAX];
    int count = 0;
    char *rest = copy, *one;
    if (!strchr(list, ','))
        return natsOptions_SetURL(to, list);
    if (snprintf(copy, sizeof(copy), "%s", list) >= (int)sizeof(copy))
        return NATS_INVALID_ARG;
    while ((one = strsep(&rest, ", "))) {
        if (!*one)
            continue;
        if (count == BUS_SERVERS_MAX)
            return NATS_INVALID_ARG;
        servers[count++] = one;
    }
    natsStatus s = natsOptions_SetServers(to, servers, count);
    return s == NATS_OK ? natsOptions_SetNoRandomize(to, true) : s;
}

int bus_options_make(const struct bus_options *options, const struct bus *bus,
                     enum bus_urgency urgency, natsOptions **ret_options)
{
    assert(bus->name[0] && bus->inbox_prefix[0] && urgency < LANES);
    const char *url = options->url ? options->url : URL_DEFAULT;
    natsOptions *to = NULL;
    natsStatus s = natsOptions_Create(&to);
    if (s == NATS_OK)
        s = set_servers(to, url);
    if (s == NATS_OK)
        s = natsOptions_SetName(to, bus->name);
    if (s == NATS_OK)
        s = natsOptions_SetCustomInboxPrefix(to, bus->inbox_prefix);
    if (s == NATS_OK)
        s = set_limits(to, options, urgency);
    if (s == NATS_OK && urgency == BUS_PUMPED)
        s = bus_pump_set_options(to, bus);
    int r = s == NATS_OK ? 0 : bus_fail(s, "set the options of NATS");
    if (r == 0)
        r = set_login(to, options);
    if (r == 0)
        r = set_tls(to, options, url);
    if (r == 0)
        *ret_options = to;
    else
        natsOptions_Destroy(to);
    return trace(r);
}
