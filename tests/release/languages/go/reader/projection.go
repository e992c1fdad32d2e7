package main

// The projection: what this reader wants to know of the leader's events, and how far it has read
// them, in one file, so that both become true in one transaction (R2).

import (
	"database/sql"
	"encoding/json"
	"errors"

	"journey-mesh.example/languages/events"
)

var status = map[string]string{"PaymentFailed": "payment_failed", "OrderPaid": "paid",
	"OrderShipped": "shipped", "OrderCancelled": "cancelled"}

const tables = `PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS cursor (log TEXT PRIMARY KEY, position, chain, term);
CREATE TABLE IF NOT EXISTS orders (order_id TEXT PRIMARY KEY, account_id, status, amount, refunded)`

// cursor is read from the database, or within a transaction.
func cursor(from interface {
	QueryRow(string, ...any) *sql.Row
}) (events.Cursor, error) {
	at := events.Beginning
	err := from.QueryRow("SELECT position, chain, term FROM cursor WHERE log = ?", leader.Log).Scan(
		&at.Position, &at.Chain, &at.Term)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return at, err
}

// apply is the projection: what this reader wants to know. All other events only move the cursor.
func apply(tx *sql.Tx, event *events.Event) error {
	var data struct {
		OrderID   string `json:"order_id"`
		AccountID string `json:"account_id"`
		Total     struct{ Amount int64 }
		Refunded  struct{ Amount int64 }
	}
	err := json.Unmarshal([]byte(event.Data), &data)
	if to, moves := status[event.Type]; err == nil && moves {
		_, err = tx.Exec("UPDATE orders SET status = ? WHERE order_id = ?", to, data.OrderID)
	} else if err == nil && event.Type == "OrderPlaced" {
		_, err = tx.Exec("INSERT INTO orders VALUES (?, ?, 'placed', ?, 0)", data.OrderID,
			data.AccountID, data.Total.Amount)
	} else if err == nil && event.Type == "OrderRefunded" { // of a paid order all: cancelled
		_, err = tx.Exec(`UPDATE orders SET refunded = ?1, status = iif(status = 'paid' AND
			?1 = amount, 'cancelled', status) WHERE order_id = ?2`, data.Refunded.Amount,
			data.OrderID)
	}
	return err
}
