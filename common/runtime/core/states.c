/* States: see states.h. */
#include "runtime/core/states.h"
#include <assert.h>
#include <string.h>

#define HELP_COLUMNS 98
#define NAME_COLUMNS 14 /* of the names, with the blanks around them */

const struct state_text service_states[] = {
    [SERVICE_STARTING] = { "starting",
                           "the server is not reachable yet, or the stream is being compared with "
                           "the log",
                           "nothing; if it lasts, check that the server runs" },
    [SERVICE_REPLAYING] = { "replaying",
                            "a lost or restored database catches up, first on its own stream and "
                            "then on the others; requests are refused with the code `replaying` "
                            "and the progress",
                            "nothing" },
    [SERVICE_READY] = { "ready", "all is well", "nothing" },
    [SERVICE_HELD] = { "held",
                       "a setting of the stream, of a durable or of a right keeps the service from "
                       "its work; `notices` names each with field and value. What can be done is "
                       "done: once it has caught up, requests are taken and wait for the stream",
                       "set it back, see What somebody has set; the service goes on by itself" },
    [SERVICE_DEGRADED] = { "degraded",
                           "the disk refuses writes; requests are refused as `busy`, queries are "
                           "answered",
                           "free space, or remount; the service goes on by itself" },
    [SERVICE_FORKED] = { "forked",
                         "log and stream disagree; nothing is written or published, queries are "
                         "answered, but for `.events`",
                         "decide, see A fork" },
    [SERVICE_CORRUPT] = { "corrupt", "the database is damaged and is no longer written",
                          "stop the service; then `restore FILE` puts a backup in its place, or "
                          "set "
                          "the file aside with its `-wal` and `-shm`, and the database is rebuilt "
                          "from the streams" },
    [SERVICE_MOVED] = { "moved",
                        "the database, or a file beside it, was removed, moved or replaced while "
                        "the service runs; nothing is written any more, requests are refused",
                        "put the files back and start the service again; without them it is "
                        "rebuilt from the streams, or `restore FILE` puts a backup in their "
                        "place" },
    [SERVICE_DRAINING] = { "draining", "the service is stopping", "nothing" },
    [SERVICE_STANDBY] = { "standby",
                          "another instance of this service leads; this one follows its log and "
                          "answers queries, and decides and publishes nothing",
                          "nothing; with `--take-over manual`, when the one that leads is lost "
                          "for good, ask for `<prefix>.take-over`" },
};

const struct state_text relay_states[] = {
    [RELAY_OFFLINE] = { "offline", "the server is not reachable",
                        "nothing; if it lasts, check that the server runs" },
    [RELAY_ASKING] = { "asking", "the end of the stream is read and compared with the log",
                       "nothing" },
    [RELAY_MAKING] = { "making", "the stream is created, or recreated because it is damaged",
                       "nothing" },
    [RELAY_RECOVERING] = { "recovering",
                           "the stream is ahead of the log: what the log lacks is read from it",
                           "nothing" },
    [RELAY_PUBLISHING] = { "publishing",
                           "all is well: each event is published once it is committed", "nothing" },
    [RELAY_WAITING] = { "waiting",
                        "the server did not answer, or refused; the relay retries after a back-off",
                        "nothing; if it lasts, see `relay_reason`" },
    [RELAY_FORKED] = { "forked", "log and stream disagree; nothing is published",
                       "decide, see A fork" },
    [RELAY_FOLLOWING] = { "following",
                          "another instance leads: its events are read from the stream into the "
                          "log, and nothing is published",
                          "nothing" },
    [RELAY_FENCED] = { "fenced",
                       "another instance has begun a term: what the stream has not is set aside by "
                       "name, and this instance starts again as a standby",
                       "look at `orphans`, and at the files of that name in the data folder" },
};

const struct state_text feed_states[] = {
    [FEED_OFFLINE] = { "offline", "the server is not reachable",
                       "nothing; if it lasts, check that the server runs" },
    [FEED_ASKING] = { "asking", "stream and durable are looked up and compared with the cursor",
                      "nothing" },
    [FEED_COMPARING] = { "comparing",
                         "the stream ends before the cursor, or a message in it does not follow: "
                         "the leader is asked for its event at the cursor",
                         "nothing" },
    [FEED_MAKING] = { "making",
                      "the durable is created, or recreated, at the event after the cursor",
                      "nothing" },
    [FEED_PULLING] = { "pulling", "all is well: events are applied as they arrive", "nothing" },
    [FEED_FILLING] = { "filling",
                       "there is a gap: the missing events are fetched from the leader's log",
                       "nothing; if it lasts, check that the leader runs" },
    [FEED_WAITING] = { "waiting",
                       "there is no stream yet, or the server or the leader did not answer; the "
                       "feed retries after a back-off",
                       "nothing; if it lasts, see its `reason`" },
    [FEED_FORKED] = { "forked", "the leader's log differs from the log that was read",
                      "resolve the leader first, see A fork" },
};

_Static_assert(sizeof(service_states) / sizeof(*service_states) == SERVICE_STATES, "one text each");
_Static_assert(sizeof(relay_states) / sizeof(*relay_states) == RELAY_STATES, "one text each");
_Static_assert(sizeof(feed_states) / sizeof(*feed_states) == FEED_STATES, "one text each");

const char *service_state_name(enum service_state state)
{
    assert((unsigned)state < SERVICE_STATES);
    return service_states[state].name;
}

const char *service_role_name(enum service_role role)
{
    static const char *const names[SERVICE_ROLES] = { "standby", "leading", "fenced" };
    assert((unsigned)role < SERVICE_ROLES);
    return names[role];
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
