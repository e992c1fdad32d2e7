/* Tables of account-svc. Only the files named here hold SQL.
 *
 *     leading     accounts, cards                 folded from our own log
 *     projection  purchases, purchase_totals      folded from order-svc's log
 *
 * The two groups are disjoint (rule 2): no apply of one group reads or writes a table of the other,
 * so that the two logs can be folded in any interleaving. Text that a function returns lives in the
 * journey's arena.
 */
#pragma once
#include "journey.h"
#include "schemas/common.h"

struct account_get_reply_cards_item;
struct account_get_reply_purchases_item;
struct account_get_reply_totals;

extern const char account_tables[];

/* ---- Accounts (accounts_table.c) ------------------------------------------------------------- */

struct account {
    const char *name, *email, *birthday; /* birthday may be NULL */
    struct address address;
    _Bool is_open;
};
/* 0, NOT_FOUND or < 0 */
int account_find(struct journey *j, const char *account_id, struct account *ret_account);

/* The account that a command wants to change: 0, the refusal (unknown, closed), or < 0. */
int account_find_open(struct journey *j, const char *account_id, struct account *ret_account);

/* May this become an account's address (email_address.c)? 0, or the refusal. */
int email_check(struct journey *j, const char *email);

/* Does an open account, other than except_account_id (or NULL), have this e-mail? 1, 0, < 0. */
int account_email_is_taken(struct journey *j, const char *email, const char *except_account_id);

/* The open account that has this e-mail, in the journey's arena. 0, NOT_FOUND or < 0. */
int account_find_by_email(struct journey *j, const char *email, const char **ret_account_id);

int account_registered_apply(struct db *db, const struct event *event);
int profile_changed_apply(struct db *db, const struct event *event);
int address_changed_apply(struct db *db, const struct event *event);
int account_closed_apply(struct db *db, const struct event *event);

/* ---- Cards (cards_table.c) ------------------------------------------------------------------- */

enum card_status { CARD_USABLE = 1, CARD_DECLINED, CARD_REMOVED };

/* The condition of an index in SQL: all but removed cards, which are at most CARDS_MAX (add_card.c)
 * of one account. Removed ones are without number, and nothing counts or walks them all. */
#define CARD_IS_KEPT "status <> 3"
_Static_assert(CARD_REMOVED == 3, "the condition above names it by number");

/* 0, NOT_FOUND or < 0 */
int card_status_find(struct journey *j, const char *account_id, const char *card_id,
                     enum card_status *ret_status);
/* Those that are not removed. 0 or < 0. */
int cards_count(struct journey *j, const char *account_id, int64_t *ret_count);

/* All that are not removed and the newest removed ones, at most `max`, in the order in which they
 * were added. A card whose month is over is not usable. 0 or < 0. */
int cards_list(struct journey *j, const char *account_id, int max,
               struct account_get_reply_cards_item *ret_cards, size_t *ret_count);

int card_added_apply(struct db *db, const struct event *event);
int card_removed_apply(struct db *db, const struct event *event);
int card_declined_apply(struct db *db, const struct event *event);
int cards_remove_all(struct db *db, const char *account_id);

/* ---- Purchases (project_purchases.c) --------------------------------------------------------- */

/* The newest `max`, newest first. 0 or < 0. */
int purchases_list(struct journey *j, const char *account_id, int max,
                   struct account_get_reply_purchases_item *ret_purchases, size_t *ret_count);
/* 0 or < 0 */
int purchases_total(struct journey *j, const char *account_id,
                    struct account_get_reply_totals *ret_totals);
