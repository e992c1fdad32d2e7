package shop

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
)

const (
	linesMax    = 100
	quantityMax = 1_000_000
	payWithin   = 72 * time.Hour
)

// Answered finds the reply to an idempotency key that was used before; nil: it was not.
func Answered(ctx context.Context, db DB, key string, body []byte) ([]byte, error) {
	if key == "" {
		return nil, nil
	}
	var before, reply []byte
	err := db.QueryRow(ctx, `SELECT body, reply FROM requests WHERE key = ?`, key).
		Scan(&before, &reply)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, err
	case !bytes.Equal(before, body):
		return nil, refuse("conflict", "the key was used for another request")
	}
	return reply, nil
}

// Place decides, and stores the order and the reply under its key. The event is to be stored in the
// same transaction; the charge is to be made after it.
func Place(ctx context.Context, db DB, key string, body []byte, in *PlaceOrder, now time.Time) (
	reply []byte, event *Event, charge *Charge, err error) {
	placed, token, err := decide(ctx, db, in, now)
	if err != nil {
		return nil, nil, nil, err
	}
	until := now.Add(payWithin)
	placed.PayUntil = until.UTC().Format(time.RFC3339)
	if err = storeOrder(ctx, db, placed, now, until); err != nil {
		return nil, nil, nil, err
	}
	reply, err = json.Marshal(&PlaceReply{placed.AccountID, placed.OrderID, "placed"})
	if err != nil {
		return nil, nil, nil, err
	}
	if key != "" {
		_, err = db.Exec(ctx, `INSERT INTO requests (key, body, reply) VALUES (?, ?, ?)`,
			key, body, reply)
		if err != nil {
			return nil, nil, nil, err
		}
	}
	return reply, &Event{placed.OrderID + ".placed", "OrderPlaced", placed},
		&Charge{placed.OrderID, placed.AccountID, placed.CardID, token, 1, placed.Total}, nil
}

// decide checks the request against what this service knows, and reserves stock.
func decide(ctx context.Context, db DB, in *PlaceOrder, now time.Time) (*OrderPlaced, string,
	error) {
	if in.AccountID == "" || len(in.Lines) == 0 || len(in.Lines) > linesMax {
		return nil, "", refuse("invalid_request", "account_id, and 1 to %d lines", linesMax)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, "", err
	}
	placed := &OrderPlaced{OrderID: "ord_" + id.String(), AccountID: in.AccountID}
	if err := findCustomer(ctx, db, placed); err != nil {
		return nil, "", err
	}
	var token string
	err = db.QueryRow(ctx, `SELECT card_id, token FROM customer_cards
		WHERE account_id = ? AND is_usable = 1 AND expires >= ? ORDER BY card_id LIMIT 1`,
		in.AccountID, now.UTC().Format("2006-01")).Scan(&placed.CardID, &token)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, "", refuse("no_valid_card", "the account has no usable card")
	} else if err != nil {
		return nil, "", err
	}
	for i, wish := range in.Lines {
		if err := addLine(ctx, db, placed, i, wish); err != nil {
			return nil, "", err
		}
	}
	return placed, token, nil
}

func findCustomer(ctx context.Context, db DB, placed *OrderPlaced) error {
	var isOpen bool
	to := &placed.ShipTo
	err := db.QueryRow(ctx, `SELECT is_open, name, street, city, postal_code, country
		FROM customers WHERE account_id = ?`, placed.AccountID).
		Scan(&isOpen, &to.Name, &to.Address.Street, &to.Address.City, &to.Address.PostalCode,
			&to.Address.Country)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return refuse("unknown_account", "no such account is known here")
	case err != nil:
		return err
	case !isOpen:
		return refuse("account_closed", "the account is closed")
	}
	return nil
}

func addLine(ctx context.Context, db DB, placed *OrderPlaced, i int, wish PlaceLine) error {
	if wish.Quantity < 1 || wish.Quantity > quantityMax {
		return refuse("invalid_request", "lines[%d].quantity: 1 to %d", i, quantityMax)
	}
	line := Line{SKU: wish.SKU, Quantity: wish.Quantity}
	var stock int64
	err := db.QueryRow(ctx, `SELECT name, amount, currency, stock FROM products WHERE sku = ?`,
		wish.SKU).Scan(&line.Name, &line.UnitPrice.Amount, &line.UnitPrice.Currency, &stock)
	if errors.Is(err, sql.ErrNoRows) {
		return refuse("not_found", "lines[%d].sku: no such product", i)
	} else if err != nil {
		return err
	}
	if i > 0 && line.UnitPrice.Currency != placed.Total.Currency {
		return refuse("invalid_request", "lines[%d].sku: another currency", i)
	}
	if stock < wish.Quantity {
		return refuse("out_of_stock", "lines[%d]: %d wanted, %d left", i, wish.Quantity, stock)
	}
	_, err = db.Exec(ctx, `UPDATE products SET stock = stock - ?2, reserved = reserved + ?2
		WHERE sku = ?1`, wish.SKU, wish.Quantity)
	if err != nil {
		return err
	}
	placed.Total.Amount += line.UnitPrice.Amount * line.Quantity
	placed.Total.Currency = line.UnitPrice.Currency
	placed.Lines = append(placed.Lines, line)
	return nil
}

func storeOrder(ctx context.Context, db DB, placed *OrderPlaced, now, until time.Time) error {
	to := &placed.ShipTo
	_, err := db.Exec(ctx, `INSERT INTO orders (order_id, account_id, status, amount, currency,
		attempt, card_id, placed_ms, pay_until_ms, ship_name, street, city, postal_code, country)
		VALUES (?, ?, 'placed', ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?)`, placed.OrderID,
		placed.AccountID, placed.Total.Amount, placed.Total.Currency, placed.CardID,
		now.UnixMilli(), until.UnixMilli(), to.Name, to.Address.Street, to.Address.City,
		to.Address.PostalCode, to.Address.Country)
	if err != nil {
		return err
	}
	for i, line := range placed.Lines {
		_, err := db.Exec(ctx, `INSERT INTO order_lines (order_id, line, sku, name, quantity,
			amount) VALUES (?, ?, ?, ?, ?, ?)`, placed.OrderID, i+1, line.SKU, line.Name,
			line.Quantity, line.UnitPrice.Amount)
		if err != nil {
			return err
		}
	}
	return nil
}
