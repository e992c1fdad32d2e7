/* States: see states.h. */
#include "runtime/core/states.h"
#include <assert.h>
#include <string.h>

#define HELP_COLUMNS 98
#define NAME_COLUMNS 14 /* of the names, with the blanks around them */

const struct state_text service_states[] = {
    [SERVICE_STARTING] = { "starting",
                           "no server yet, or the stream is being compared with the log",
                           "nothing; when it lasts, check that the server runs" },
    [SERVICE_REPLAYING] = { "replaying",
                            "a lost or restored database catches up, on its own stream first and "
                            "then on the others'; requests are refused with the code `replaying` "
                            "and the progress",
                            "nothing" },
    [SERVICE_READY] = { "ready", "all is well", "nothing" },
    [SERVICE_DEGRADED] = { "degraded",
                           "the disk does not accept a write; commands are refused with `busy`, "
                           "queries are answered",
                           "free space, or remount the disk; the service goes on by itself" },
    [SERVICE_FORKED] = { "forked",
                         "log and stream disagree; nothing is written or published, queries are "
                         "answered",
                         "choose one of them with `resolve` (see A fork)" },
    [SERVICE_CORRUPT] = { "corrupt", "the database is damaged, and is not written any more",
                          "stop the service, set the file aside, start the service: it folds the "
                          "streams into a new one" },
    [SERVICE_DRAINING] = { "draining", "the service is stopping", "nothing" },
};

const struct state_text relay_states[] = {
    [RELAY_OFFLINE] = { "offline", "there is no connection to the server",
                        "nothing; when it lasts, check that the server runs" },
    [RELAY_ASKING] = { "asking", "the end of the stream is read and compared with the log",
                       "nothing" },
    [RELAY_MAKING] = { "making",
                       "the stream is made, because there is none or because it is damaged",
                       "nothing" },
    [RELAY_RECOVERING] = { "recovering",
                           "the stream is ahead of the log, which is read from it again",
                           "nothing" },
    [RELAY_PUBLISHING] = { "publishing", "all is well: each event is published once committed",
                           "nothing" },
    [RELAY_WAITING] = { "waiting",
                        "the server gave no answer or refused; the relay tries again, at growing "
                        "intervals",
                        "nothing; when it lasts, the log line `relay` names the reason" },
    [RELAY_FORKED] = { "forked", "log and stream disagree",
                       "choose one of them with `resolve` (see A fork)" },
};

const struct state_text feed_states[] = {
    [FEED_OFFLINE] = { "offline", "there is no connection to the server",
                       "nothing; when it lasts, check that the server runs" },
    [FEED_ASKING] = { "asking", "stream and durable are looked up and compared with the cursor",
                      "nothing" },
    [FEED_COMPARING] = { "comparing",
                         "the stream ends before the cursor: the leader is asked for the event at "
                         "the cursor",
                         "nothing" },
    [FEED_MAKING] = { "making", "the durable is made anew behind the cursor", "nothing" },
    [FEED_PULLING] = { "pulling", "all is well: events are applied as they are published",
                       "nothing" },
    [FEED_FILLING] = { "filling",
                       "events that the stream does not have are fetched from the leader's log",
                       "nothing" },
    [FEED_WAITING] = { "waiting",
                       "there is no stream yet, or a question had no good answer; the feed tries "
                       "again, at growing intervals",
                       "nothing; when it lasts, check that the leader runs; the log line `feed` "
                       "names the reason" },
    [FEED_FORKED] = { "forked", "the leader's log is not the one that was read",
                      "resolve the leader first (see A fork)" },
};

_Static_assert(sizeof(service_states) / sizeof(*service_states) == SERVICE_STATES, "one text each");
_Static_assert(sizeof(relay_states) / sizeof(*relay_states) == RELAY_STATES, "one text each");
_Static_assert(sizeof(feed_states) / sizeof(*feed_states) == FEED_STATES, "one text each");

const char *service_state_name(enum service_state state)
{
    assert((unsigned)state < SERVICE_STATES);
    return service_states[state].name;
}

const char *relay_state_name(enum relay_state state)
{
    assert((unsigned)state < RELAY_STATES);
    return relay_states[state].name;
}

const char *feed_state_name(enum feed_state state)
{
    assert((unsigned)state < FEED_STATES);
    return feed_states[state].name;
}

/* A text in lines of at most HELP_COLUMNS, from the second on behind the names' columns. */
static void print_wrapped(FILE *file, const char *text)
{
    int column = NAME_COLUMNS;
    while (*text) {
        int length = (int)strcspn(text, " ");
        if (column > NAME_COLUMNS && column + 1 + length > HELP_COLUMNS) {
            fprintf(file, "\n%*s", NAME_COLUMNS, "");
            column = NAME_COLUMNS;
        } else if (column > NAME_COLUMNS) {
            fprintf(file, " ");
            column++;
        }
        fprintf(file, "%.*s", length, text);
        column += length;
        text += length + (text[length] == ' ');
    }
    fprintf(file, "\n");
}

void states_print(FILE *file)
{
    fprintf(file, "STATES\n");
    for (int i = 0; i < SERVICE_STATES; i++) {
        fprintf(file, "  %-*s", NAME_COLUMNS - 2, service_states[i].name);
        print_wrapped(file, service_states[i].meaning);
    }
}
