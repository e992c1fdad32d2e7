package shop

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Project folds one event into the customers' purchases, and says which order it is about; "": none
// that concerns them. Each event is to be given once.
func Project(ctx context.Context, db DB, kind string, data []byte, sent string) (string, error) {
	switch kind {
	case "OrderPlaced":
		return projectPlaced(ctx, db, data, sent)
	case "OrderPaid":
		var e OrderPaid
		if err := json.Unmarshal(data, &e); err != nil {
			return "", fmt.Errorf("%s: %w", kind, err)
		}
		_, err := db.Exec(ctx, `UPDATE purchase_totals SET paid = paid + ?3
			WHERE account_id = ?1 AND currency = ?2`, e.AccountID, e.Amount.Currency,
			e.Amount.Amount)
		if err != nil {
			return "", err
		}
		return e.OrderID, setStatus(ctx, db, e.AccountID, e.OrderID, "paid")
	case "PaymentFailed":
		var e PaymentFailed
		if err := json.Unmarshal(data, &e); err != nil {
			return "", fmt.Errorf("%s: %w", kind, err)
		}
		return e.OrderID, setStatus(ctx, db, e.AccountID, e.OrderID, "payment_failed")
	}
	return "", nil
}

func projectPlaced(ctx context.Context, db DB, data []byte, sent string) (string, error) {
	var e OrderPlaced
	if err := json.Unmarshal(data, &e); err != nil {
		return "", fmt.Errorf("OrderPlaced: %w", err)
	}
	at, err := time.Parse(time.RFC3339Nano, sent)
	if err != nil {
		return "", fmt.Errorf("OrderPlaced: %w", err)
	}
	_, err = db.Exec(ctx, `INSERT INTO purchases (account_id, order_id, status, amount, currency,
		placed_ms) VALUES (?, ?, 'placed', ?, ?, ?)`, e.AccountID, e.OrderID, e.Total.Amount,
		e.Total.Currency, at.UnixMilli())
	if err != nil {
		return "", err
	}
	_, err = db.Exec(ctx, `INSERT INTO purchase_totals (account_id, currency, orders)
		VALUES (?, ?, 1) ON CONFLICT (account_id, currency) DO UPDATE SET orders = orders + 1`,
		e.AccountID, e.Total.Currency)
	return e.OrderID, err
}

func setStatus(ctx context.Context, db DB, accountID, orderID, status string) error {
	_, err := db.Exec(ctx, `UPDATE purchases SET status = ?3
		WHERE account_id = ?1 AND order_id = ?2`, accountID, orderID, status)
	return err
}

// HasPurchase says whether the order is among the account's purchases.
func HasPurchase(ctx context.Context, db DB, get *GetPurchase) (bool, error) {
	var n int
	err := db.QueryRow(ctx, `SELECT count(*) FROM purchases WHERE account_id = ? AND order_id = ?`,
		get.AccountID, get.OrderID).Scan(&n)
	return n > 0, err
}
