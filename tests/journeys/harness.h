/* Harness: journeys as tables. A story is a list of steps: given these events, when this request,
 * then these events and this reply. The story runs through the runtime's own loop on a database in
 * memory, without threads, bus or clock. It ends with the proof of rule 2: the tables folded anew
 * from the two logs, in either order of the logs, are the same.
 *
 * Texts are JSON with ' for ", compact, in the order of the schema. `$name` stands for a value that
 * the story does not choose: a pattern binds the name to the value that it meets first, and from
 * then on the name means that value, in patterns and in what is sent. `*` stands for anything up to
 * the next quote, comma or bracket. Before a step acts, all events and calls of the steps before it
 * must have been named by THEN_EVENT and THEN_CALL, so that nothing happens unnoticed. */
#pragma once
#include "journey.h"
#include "samples.h"

enum step_kind {
    STEP_END,
    STEP_OPTION,     /* what: name, json: value; before all others */
    STEP_GIVEN,      /* what: "ACCOUNT CardAdded", json: data; about: entity */
    STEP_WHEN,       /* what: subject, also of an account; json: body, about: key or NULL */
    STEP_TOGETHER,   /* what follows is one batch … */
    STEP_RUN,        /* … until here */
    STEP_WAIT,       /* number: milliseconds that pass; what is due meanwhile happens at its time */
    STEP_CLOCK_BACK, /* number: milliseconds by which the wall clock is set back */
    /* about: work type or NULL, what: key or tag, number: of the call, schema: of its reply,
     * json: it, or an outcome's name */
    STEP_ANSWER,
    STEP_RESTART,      /* the process loses its memory; json: SQL that runs meanwhile, or NULL */
    STEP_THEN_REPLY,   /* json */
    STEP_THEN_REFUSED, /* what: code, json: how the message begins */
    STEP_THEN_EVENT,   /* what: type, json: data */
    STEP_THEN_CALL,    /* what: subject, json: body */
    /* drops the events and calls so far, which another story is about */
    STEP_THEN_WHATEVER,
    STEP_THEN_ROW, /* what: SQL that selects one text, json: that text; literals */
};

struct step {
    enum step_kind kind;
    const char *what, *json, *about;
    int64_t number;
    const struct schema *schema;
    int line;
};

#define STEP(k, ...) { .kind = STEP_##k, .line = __LINE__, __VA_ARGS__ }
#define OPTION(name, value) STEP(OPTION, .what = (name), .json = (value))
#define GIVEN(type, entity, data) STEP(GIVEN, .what = (type), .about = (entity), .json = (data))
#define WHEN(subject, body) STEP(WHEN, .what = (subject), .json = (body))
#define WHEN_KEY(subject, body, key) STEP(WHEN, .what = (subject), .json = (body), .about = (key))
#define TOGETHER STEP(TOGETHER)
#define RUN STEP(RUN)
#define WAIT(ms) STEP(WAIT, .number = (ms))
#define CLOCK_BACK(ms) STEP(CLOCK_BACK, .number = (ms))
#define ANSWER_TO(tag, n, schema_of_it, reply) \
    STEP(ANSWER, .what = (tag), .number = (n), .schema = (schema_of_it), .json = (reply))
#define WORK_ANSWER(work, key, n, schema_of_it, reply)                                    \
    STEP(ANSWER, .about = (work), .what = (key), .number = (n), .schema = (schema_of_it), \
         .json = (reply))
#define RESTART STEP(RESTART)
#define RESTART_AFTER(sql) STEP(RESTART, .json = (sql))
#define THEN_REPLY(body) STEP(THEN_REPLY, .json = (body))
#define THEN_REFUSED(code, message) STEP(THEN_REFUSED, .what = (code), .json = (message))
#define THEN_EVENT(type, data) STEP(THEN_EVENT, .what = (type), .json = (data))
#define THEN_CALL(subject, body) STEP(THEN_CALL, .what = (subject), .json = (body))
#define THEN_WHATEVER STEP(THEN_WHATEVER)
#define THEN_ROW(sql, text) STEP(THEN_ROW, .what = (sql), .json = (text))

struct story {
    const char *name;
    const struct step *steps; /* ends with { 0 } */
};
#define STORY(text, ...)                               \
    {                                                  \
        .name = (text), .steps = (const struct step[]) \
        {                                              \
            __VA_ARGS__,                               \
            {                                          \
                .kind = STEP_END                       \
            }                                          \
        }                                              \
    }

#define STORY_BEGIN_MS INT64_C(1795000000000) /* 2026-11-18T11:06:40Z: when each story begins */

/* Runs each story; a step that does not hold fails the Criterion test, and the message names story
 * and line. fold_checks: SQL that selects one text each, NULL ends; the texts must be the same
 * after folding anew. NULL for stories that change tables by hand. */
void stories_run(const struct service *service, const struct story *stories, int count,
                 const char *const *fold_checks);
