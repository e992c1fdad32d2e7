// Package shop is the business that both peers share: contracts, tables, and the journey "order
// something" with its payment and the customer's purchases. It knows neither NATS nor who begins
// and commits the transaction.
package shop

import (
	"context"
	"database/sql"
	"fmt"
)

// DB runs a statement in the current transaction.
type DB interface {
	Exec(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRow(ctx context.Context, query string, args ...any) *sql.Row
}

type Money struct {
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
}

type Address struct {
	Street     string `json:"street"`
	City       string `json:"city"`
	PostalCode string `json:"postal_code"`
	Country    string `json:"country"`
}

type ShipTo struct {
	Name    string  `json:"name"`
	Address Address `json:"address"`
}

type PlaceLine struct {
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
}

type PlaceOrder struct {
	AccountID string      `json:"account_id"`
	Lines     []PlaceLine `json:"lines"`
}

type PlaceReply struct {
	AccountID string `json:"account_id"`
	OrderID   string `json:"order_id"`
	Status    string `json:"status"`
}

// GetPurchase is account.get: it is answered when the order is among the account's purchases.
type GetPurchase struct {
	AccountID string `json:"account_id"`
	OrderID   string `json:"order_id"`
}

type Line struct {
	SKU       string `json:"sku"`
	Name      string `json:"name"`
	Quantity  int64  `json:"quantity"`
	UnitPrice Money  `json:"unit_price"`
}

type OrderPlaced struct {
	OrderID   string `json:"order_id"`
	AccountID string `json:"account_id"`
	CardID    string `json:"card_id"`
	Lines     []Line `json:"lines"`
	Total     Money  `json:"total"`
	ShipTo    ShipTo `json:"ship_to"`
	PayUntil  string `json:"pay_until"`
}

type OrderPaid struct {
	OrderID   string `json:"order_id"`
	AccountID string `json:"account_id"`
	CardID    string `json:"card_id"`
	Attempt   int    `json:"attempt"`
	Amount    Money  `json:"amount"`
}

type PaymentFailed struct {
	OrderID   string `json:"order_id"`
	AccountID string `json:"account_id"`
	CardID    string `json:"card_id"`
	Attempt   int    `json:"attempt"`
	Reason    string `json:"reason"`
}

// Event is what one transaction tells the other services. The id is the same however often the
// event is sent.
type Event struct {
	ID, Type string
	Data     any
}

// Refusal is an answer that says no; every other error is a failure of the service.
type Refusal struct{ Code, Message string }

func (r *Refusal) Error() string { return r.Code + ": " + r.Message }

func refuse(code, format string, args ...any) error {
	return &Refusal{code, fmt.Sprintf(format, args...)}
}
