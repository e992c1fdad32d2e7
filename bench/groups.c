/* Groups: two ways to publish a group of events of which the outcome of each is known (rule 1): an
 * acknowledgement for each, or an atomic batch (ADR-50, nats-server 2.12 and later), both with the
 * expected sequence, one group in flight. In turns, on streams of this program's own. Beside them,
 * as a floor, all events in flight with an acknowledgement for each and no fence. */
#include "base/clock.h"
#include "base/result.h"
#include "wire.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INBOX "_INBOX.bench.groups"
#define BODY_BYTES 300 /* of an event; its headers are some 500 bytes */
#define HEADERS_BYTES 450
#define ANSWER_NS INT64_C(10000000000)

enum way { WAY_PIPELINED, WAY_ACKNOWLEDGED, WAY_BATCH, WAYS };
static const char *const names[WAYS] = { "pipelined, no fence", "an acknowledgement for each",
                                         "atomic batch" };

static struct wire wire;

/* The next answer to our inbox. */
static int receive(struct wire_message *ret_message)
{
    int r;
    while ((r = wire_next(&wire, ret_message)) == 0)
        if (wire_read(&wire, ANSWER_NS) <= 0)
            return fail(ERR_NETWORK, "the server does not answer");
    return r < 0 ? trace(r) : 0;
}

static int put_message(const char *subject, const char *reply, const char *headers,
                       const char *body, size_t length)
{
    char line[256];
    const size_t head = strlen(headers);
    int n = head ? snprintf(line, sizeof(line), "HPUB %s %s %zu %zu\r\n", subject, reply, head,
                            head + length)
                 : snprintf(line, sizeof(line), "PUB %s %s %zu\r\n", subject, reply, length);
    int r = wire_put(&wire, line, (size_t)n);
    if (r == 0)
        r = wire_put(&wire, headers, head);
    if (r == 0)
        r = wire_put(&wire, body, length);
    return r < 0 ? trace(r) : trace(wire_put(&wire, "\r\n", 2));
}

static int ask(const char *subject, const char *body)
{
    struct wire_message answer;
    int r = put_message(subject, INBOX, "", body, strlen(body));
    if (r == 0)
        r = wire_flush(&wire);
    return r < 0 ? trace(r) : trace(receive(&answer));
}

static int make_stream(enum way way, int replicas)
{
    char subject[64], body[256];
    snprintf(subject, sizeof(subject), "$JS.API.STREAM.DELETE.BENCH%d", way);
    int r = ask(subject, "");
    snprintf(subject, sizeof(subject), "$JS.API.STREAM.CREATE.BENCH%d", way);
    snprintf(body, sizeof(body),
             "{\"name\":\"BENCH%d\",\"subjects\":[\"bench.%d\"],\"storage\":\"file\","
             "\"retention\":\"limits\",\"discard\":\"new\",\"num_replicas\":%d,"
             "\"allow_atomic\":true}",
             way, way, replicas);
    return r < 0 ? trace(r) : trace(ask(subject, body));
}

static int put_event(enum way way, int64_t sequence, int i, int group)
{
    static char body[BODY_BYTES], filler[HEADERS_BYTES];
    char headers[HEADERS_BYTES + 256], subject[16];
    memset(body, 'b', sizeof(body));
    memset(filler, 'h', sizeof(filler) - 1);
    int n = snprintf(headers, sizeof(headers), "NATS/1.0\r\nJourney: %s\r\n", filler);
    if (way == WAY_ACKNOWLEDGED || (way == WAY_BATCH && i == 0))
        n += snprintf(headers + n, sizeof(headers) - (size_t)n,
                      "Nats-Expected-Last-Sequence: %" PRId64 "\r\n", sequence + i);
    if (way == WAY_BATCH)
        n += snprintf(headers + n, sizeof(headers) - (size_t)n,
                      "Nats-Batch-Id: %" PRId64 "\r\nNats-Batch-Sequence: %d\r\n%s", sequence,
                      i + 1, i + 1 == group ? "Nats-Batch-Commit: 1\r\n" : "");
    snprintf(headers + n, sizeof(headers) - (size_t)n, "\r\n");
    snprintf(subject, sizeof(subject), "bench.%d", way);
    const _Bool answers = way != WAY_BATCH || i + 1 == group;
    return put_message(subject, answers ? INBOX : "", headers, body, sizeof(body));
}

/* Publishes one group and waits for all of its answers. */
static int publish_group(enum way way, int64_t sequence, int group)
{
    struct wire_message answer;
    int r = 0;
    for (int i = 0; i < group && r == 0; i++)
        r = put_event(way, sequence, i, group);
    if (r == 0)
        r = wire_flush(&wire);
    for (int left = way == WAY_BATCH ? 1 : group; left > 0 && r == 0; left--) {
        r = receive(&answer);
        if (r == 0 && memmem(answer.data, answer.length, "\"error\"", 7))
            r = fail(ERR_NETWORK, "%s: the server refused: %.*s", names[way], (int)answer.length,
                     answer.data);
    }
    return trace(r);
}

static int publish(enum way way, int events, int group, double *ret_rate)
{
    int64_t start_ns = clock_monotonic_ns();
    int r = 0;
    for (int64_t sequence = 0; sequence < events && r == 0; sequence += group)
        r = publish_group(way, sequence, group);
    *ret_rate = events * 1e9 / (double)(clock_monotonic_ns() - start_ns);
    return trace(r);
}

int main(int argc, char **argv)
{
    int replicas = argc > 2 ? atoi(argv[2]) : 1, events = 102400, r;
    static const int groups[] = { 16, 128, 1000 };
    if (argc < 2 || replicas < 1) {
        fprintf(stderr, "Usage: bench_groups URL [REPLICAS]\n\n"
                        "Prints events/s of each way to publish a group, three rounds in turns.\n");
        return 2;
    }
    r = wire_open(&wire, argv[1]);
    if (r == 0)
        r = wire_put(&wire, "SUB " INBOX " 1\r\n", strlen("SUB " INBOX " 1\r\n"));
    printf("%-8s %-30s %s\n", "group", "way", "events/s");
    for (size_t g = 0; g < sizeof(groups) / sizeof(*groups) && r == 0; g++)
        for (int round = 0; round < 3 && r == 0; round++)
            for (enum way way = 0; way < WAYS && r == 0; way++) {
                double rate = 0;
                const int count = events / groups[g] * groups[g];
                r = make_stream(way, replicas);
                if (r == 0)
                    r = publish(way, count, way == WAY_PIPELINED ? count / 100 : groups[g], &rate);
                if (r == 0)
                    printf("%-8d %-30s %.0f\n", groups[g], names[way], rate);
            }
    if (r < 0)
        fprintf(stderr, "bench_groups: %s\n", failure_text());
    wire_close(&wire);
    return r < 0;
}
