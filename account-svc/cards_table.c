/* Cards: one row for each card. A declined or removed card keeps its row, because payments refer to
 * it. */
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
    int r = db_find_number(journey_db(j), &status,
                           "SELECT status FROM cards WHERE account_id = ?1 AND card_id = ?2", "ss",
                           account_id, card_id);
    if (r == 0)
        *ret_status = (enum card_status)status;
    return trace(r);
}

int cards_count(struct journey *j, const char *account_id, int64_t *ret_count)
{
    return trace(db_find_number(journey_db(j), ret_count,
                                "SELECT count(*) FROM cards INDEXED BY cards_kept"
                                " WHERE account_id = ?1 AND " CARD_IS_KEPT,
                                "s", account_id));
}

int cards_list(struct journey *j, const char *account_id, int max,
               struct account_get_reply_cards_item *ret_cards, size_t *ret_count)
{
    _deinit_(query) struct query q = { 0 };
    int r = query_open(&q, journey_db(j),
                       "WITH"
                       " kept AS (SELECT card_id, brand, last4, expires, status"
                       "  FROM cards INDEXED BY cards_kept"
                       "  WHERE account_id = ?1 AND " CARD_IS_KEPT
                       "  ORDER BY card_id DESC LIMIT ?2),"
                       " newest AS (SELECT card_id, brand, last4, expires, status FROM cards"
                       "  WHERE account_id = ?1 ORDER BY card_id DESC LIMIT ?2),"
                       " both AS (SELECT * FROM kept UNION SELECT * FROM newest)"
                       "SELECT * FROM (SELECT * FROM both ORDER BY status = ?3, card_id DESC"
                       " LIMIT ?2) ORDER BY card_id",
                       "sii", account_id, (int64_t)max, (int64_t)CARD_REMOVED);
    struct row row = { .query = &q, .arena = journey_arena(j) };
    size_t count = 0;
    while (r == 0 && query_has_row(&q)) {
        /* Usable means the same as to whoever places an order: not declined, and in time. */
        const enum card_status status = (enum card_status)row_int(&row, "status");
        const char *expires = row_text(&row, "expires");
        _Bool is_over = expires && month_is_over(expires, journey_now_ms(j));
        ret_cards[count++] = (struct account_get_reply_cards_item){
            .card_id = row_text(&row, "card_id"),
            .brand = row_text(&row, "brand"),
            .last4 = row_text(&row, "last4"),
            .expires = expires,
            .status = card_status_name(is_over && status == CARD_USABLE ? CARD_DECLINED : status),
            .expired = is_over,
            .has_expired = is_over,
        };
    }
    if (r == 0)
        r = row_status(&row);
    if (r < 0)
        return trace(r);
    *ret_count = count;
    return 0;
}

int card_added_apply(struct db *db, const struct event *event)
{
    const struct card_added *added = event->value;
    return trace(db_exec(db,
                         "INSERT INTO cards (account_id, card_id, status, brand, last4, expires)"
                         " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                         "ssisss", added->account_id, added->card_id, (int64_t)CARD_USABLE,
                         added->brand, added->last4, added->expires));
}

int card_removed_apply(struct db *db, const struct event *event)
{
    const struct card_removed *removed = event->value;
    return trace(db_changed_one(
        db, db_exec(db, "UPDATE cards SET status = ?3 WHERE account_id = ?1 AND card_id = ?2",
                    "ssi", removed->account_id, removed->card_id, (int64_t)CARD_REMOVED)));
}

/* May change no row: the card is declined already or was removed (decline_card.c). */
int card_declined_apply(struct db *db, const struct event *event)
{
    const struct card_declined *declined = event->value;
    return trace(db_exec(
        db, "UPDATE cards SET status = ?3 WHERE account_id = ?1 AND card_id = ?2 AND status = ?4",
        "ssii", declined->account_id, declined->card_id, (int64_t)CARD_DECLINED,
        (int64_t)CARD_USABLE));
}

int cards_remove_all(struct db *db, const char *account_id)
{
    return trace(db_exec(db, "UPDATE cards SET status = ?2 WHERE account_id = ?1 AND " CARD_IS_KEPT,
                         "si", account_id, (int64_t)CARD_REMOVED));
}
