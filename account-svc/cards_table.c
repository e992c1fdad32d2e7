/* Cards: one row a card, kept when it is declined or removed, because payments refer to it. */
#include "schemas/account.get.reply.h"
#include "schemas/evt.account.CardAdded.h"
#include "schemas/evt.account.CardDeclined.h"
#include "schemas/evt.account.CardRemoved.h"
#include "store/row.h"
#include "tables.h"

static const char *card_status_name(enum card_status status)
{
    switch (status) {
    case CARD_USABLE:   return "usable";
    case CARD_DECLINED: return "declined";
    case CARD_REMOVED:  return "removed";
    }
    return "?";
}

int card_status_find(struct journey *j, const char *account_id, const char *card_id,
                     enum card_status *ret_status)
{
    int64_t status;
    int r = db_number(journey_db(j), &status,
                      "SELECT status FROM cards WHERE account_id = ?1 AND card_id = ?2", "ss",
                      account_id, card_id);
    if (r > 0)
        *ret_status = (enum card_status)status;
    return trace(r);
}

int cards_count(struct journey *j, const char *account_id, int64_t *ret_count)
{
    int r = db_number(journey_db(j), ret_count,
                      "SELECT count(*) FROM cards WHERE account_id = ?1 AND status <> 3", "s",
                      account_id);
    return r < 0 ? trace(r) : 0;
}

int cards_list(struct journey *j, const char *account_id, int max,
               struct account_get_reply_cards_item *ret_cards)
{
    _deinit_(query) struct query q = { 0 };
    int r = query_open(&q, journey_db(j),
                       "SELECT * FROM (SELECT card_id, brand, last4, expires, status FROM cards "
                       "WHERE account_id = ?1"
                       " ORDER BY card_id DESC LIMIT ?2) ORDER BY card_id",
                       "si", account_id, (int64_t)max);
    struct row row = { .query = &q, .arena = journey_arena(j) };
    int count = 0;
    while (r >= 0 && (r = query_next(&q)) > 0)
        ret_cards[count++] = (struct account_get_reply_cards_item){
            .card_id = row_text(&row, 0),
            .brand = row_text(&row, 1),
            .last4 = row_text(&row, 2),
            .expires = row_text(&row, 3),
            .status = card_status_name((enum card_status)query_int(&q, 4)),
        };
    if (r == 0)
        r = row_status(&row);
    return r < 0 ? trace(r) : count;
}

int card_added_apply(struct db *db, const struct event *event)
{
    const struct card_added *added = event->value;
    return trace(db_exec(db,
                         "INSERT INTO cards (account_id, card_id, status, brand, last4, expires) "
                         "VALUES (?1, ?2, 1, ?3, ?4, ?5)",
                         "sssss", added->account_id, added->card_id, added->brand, added->last4,
                         added->expires));
}

int card_removed_apply(struct db *db, const struct event *event)
{
    const struct card_removed *removed = event->value;
    return trace(db_changed_one(
        db, db_exec(db, "UPDATE cards SET status = 3 WHERE account_id = ?1 AND card_id = ?2", "ss",
                    removed->account_id, removed->card_id)));
}

/* Changes no row when the card is declined already or was removed: see decline_card.c. */
int card_declined_apply(struct db *db, const struct event *event)
{
    const struct card_declined *declined = event->value;
    return trace(db_exec(
        db, "UPDATE cards SET status = 2 WHERE account_id = ?1 AND card_id = ?2 AND status = 1",
        "ss", declined->account_id, declined->card_id));
}

int cards_remove_all(struct db *db, const char *account_id)
{
    return trace(db_exec(db, "UPDATE cards SET status = 3 WHERE account_id = ?1", "s", account_id));
}
