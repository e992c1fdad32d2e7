/* Terms: see terms.h. */
#include "store/terms.h"
#include "base/json_text.h"
#include "base/result.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

_Bool event_is_of_runtime(const char *type)
{
    return type[0] == 'T' &&
           (strcmp(type, EVENT_TERM_BEGAN) == 0 || strcmp(type, EVENT_TERM_ENDED) == 0);
}

int terms_create_table(struct db *db)
{
    return trace(db_script(db, "CREATE TABLE IF NOT EXISTS terms ("
                               " position INTEGER PRIMARY KEY, term INTEGER NOT NULL,"
                               " instance TEXT NOT NULL, began_ms INTEGER NOT NULL) STRICT;"
                               "ALTER TABLE cursors ADD COLUMN term INTEGER NOT NULL DEFAULT 0;"));
}

int term_read(const struct event *event, struct term *ret_term)
{
    if (event->type[0] != 'T' || strcmp(event->type, EVENT_TERM_BEGAN) != 0)
        return 1;
    struct json_text data = json_text_of(event->data, event->data_length);
    struct term term = {
        .term = json_text_number(json_text_find(data, "term"), 0),
        .position = event->position,
        .began_ms = event->time_ms,
    };
    struct json_text instance = json_text_find(data, "instance");
    if (term.term <= 0 || instance.length < 2)
        return 1;
    instance.text++; /* without its quotes */
    instance.length -= 2;
    json_text_plain(instance, term.instance, sizeof(term.instance));
    *ret_term = term;
    return 0;
}

int terms_note(struct db *db, const struct event *event)
{
    struct term term;
    if (term_read(event, &term) != 0)
        return 0;
    return trace(db_exec(db, "INSERT OR REPLACE INTO terms VALUES (?1, ?2, ?3, ?4)", "iisi",
                         term.position, term.term, term.instance, term.began_ms));
}

/* Terms only grow along the log, so the newest before a position is the highest, too. */
int terms_find(struct db *db, int64_t position, struct term *ret_term)
{
    _deinit_(query) struct query query = { 0 };
    struct term term = { 0 };
    int r = query_find(&query, db,
                       "SELECT term, position, began_ms, instance FROM terms WHERE position <= ?1 "
                       "ORDER BY position DESC LIMIT 1",
                       "i", position);
    if (r < 0)
        return trace(r);
    if (r == 0) {
        term.term = query_int(&query, 0);
        term.position = query_int(&query, 1);
        term.began_ms = query_int(&query, 2);
        snprintf(term.instance, sizeof(term.instance), "%s", query_text(&query, 3));
    }
    *ret_term = term;
    return 0;
}

int terms_newest(struct db *db, struct term *ret_term)
{
    return trace(terms_find(db, INT64_MAX, ret_term));
}

int terms_stand_alone(struct db *db, int64_t position)
{
    int64_t terms = 0, head = 0;
    int r = db_find_number(db, &terms, "SELECT count(*) FROM terms WHERE position >= ?1", "i",
                           position);
    if (r == 0)
        r = db_find_number(db, &head, "SELECT coalesce(max(position), 0) FROM event_log", "");
    return r < 0 ? trace(r) : terms > 0 && terms == head - position + 1;
}

int terms_forget_after(struct db *db, int64_t position)
{
    return trace(db_exec(db, "DELETE FROM terms WHERE position > ?1", "i", position));
}

int term_walk_to(struct term_walk *walk, struct db *db, int64_t position)
{
    struct term term;
    assert(position > 0);
    if (walk->next == position)
        return 0;
    int r = terms_find(db, position - 1, &term);
    if (r < 0)
        return trace(r);
    *walk = (struct term_walk){ .term = term.term, .next = position };
    return 0;
}

int64_t term_walk_pass(struct term_walk *walk, const struct event *event)
{
    struct term term;
    assert(event->position == walk->next);
    walk->next++;
    if (term_read(event, &term) == 0)
        walk->term = term.term;
    return walk->term;
}
