package shop

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Charge is what the payment provider needs.
type Charge struct {
	OrderID, AccountID, CardID, Token string
	Attempt                           int
	Amount                            Money
}

// ReadCharge is the charge of an order that waits for it; nil: the order does not wait.
func ReadCharge(ctx context.Context, db DB, orderID string) (*Charge, error) {
	c := &Charge{OrderID: orderID}
	err := db.QueryRow(ctx, `SELECT o.account_id, o.card_id, c.token, o.attempt, o.amount,
		o.currency FROM orders o JOIN customer_cards c USING (account_id, card_id)
		WHERE o.order_id = ? AND o.status = 'placed'`, orderID).
		Scan(&c.AccountID, &c.CardID, &c.Token, &c.Attempt, &c.Amount.Amount, &c.Amount.Currency)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return c, nil
}

// Outcome is the provider's word; an empty reason: paid.
type Outcome struct{ Reason string }

// Sandbox is the built-in provider.
func Sandbox(c *Charge) Outcome {
	if c.Token == "tok_declined" {
		return Outcome{"declined"}
	}
	return Outcome{}
}

// Settle stores the provider's word. nil: the order does not wait for it any more.
func Settle(ctx context.Context, db DB, c *Charge, outcome Outcome, now time.Time) (*Event, error) {
	status, event := "paid", &Event{fmt.Sprintf("%s.paid.%d", c.OrderID, c.Attempt), "OrderPaid",
		&OrderPaid{c.OrderID, c.AccountID, c.CardID, c.Attempt, c.Amount}}
	if outcome.Reason != "" {
		status, event = "payment_failed", &Event{fmt.Sprintf("%s.failed.%d", c.OrderID, c.Attempt),
			"PaymentFailed", &PaymentFailed{c.OrderID, c.AccountID, c.CardID, c.Attempt,
				outcome.Reason}}
	}
	result, err := db.Exec(ctx, `UPDATE orders SET status = ?3, paid_ms = ?4
		WHERE order_id = ?1 AND status = 'placed' AND attempt = ?2`,
		c.OrderID, c.Attempt, status, now.UnixMilli())
	if err != nil {
		return nil, err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return nil, err
	}
	return event, nil
}
