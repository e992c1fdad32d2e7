package main

import (
	"context"
	"encoding/json"
	"errors"
	"log"
	"time"

	"github.com/nats-io/nats.go/micro"

	"journey-mesh.example/peers/service"
	"journey-mesh.example/peers/shop"
	"journey-mesh.example/peers/sqlite"
)

const (
	batchMax    = 512
	queueMax    = 8192
	pruneAfter  = 1000 // published events, which leave the outbox together
	chargeAgain = time.Second
	outboxTable = `CREATE TABLE IF NOT EXISTS outbox (position INTEGER PRIMARY KEY AUTOINCREMENT,
		id TEXT NOT NULL, type TEXT NOT NULL, data BLOB NOT NULL) STRICT;`
)

// item is one piece of work: a request, or the provider's answer to a charge.
type item struct {
	request micro.Request
	key     string
	in      shop.PlaceOrder
	reply   []byte

	charge  *shop.Charge
	outcome shop.Outcome

	err error
}

// batch is what one transaction leaves to be done after its commit.
type batch struct {
	events []message
	placed []*shop.Charge
}

// writer belongs to one goroutine, but for its queues.
type writer struct {
	db       *sqlite.Pinned
	queue    chan *item
	answers  chan *item // of the provider; they go first
	relay    *relay
	position int64 // of the newest event
	pruned   int64 // up to there events have left the outbox
}

func newWriter(db *sqlite.Pinned, r *relay) *writer {
	return &writer{db: db, relay: r, queue: make(chan *item, queueMax),
		answers: make(chan *item, queueMax), position: r.position, pruned: r.published.Load()}
}

// emit stores the event in the outbox.
func (w *writer) emit(ctx context.Context, event *shop.Event, b *batch) error {
	data, err := json.Marshal(event.Data)
	if err != nil {
		return err
	}
	_, err = w.db.Exec(ctx, `INSERT INTO outbox (position, id, type, data) VALUES (?, ?, ?, ?)`,
		w.position+1, event.ID, event.Type, data)
	if err != nil {
		return err
	}
	w.position++
	b.events = append(b.events, message{w.position, event.ID, event.Type, data})
	return nil
}

func (w *writer) place(ctx context.Context, it *item, b *batch) error {
	var err error
	body := it.request.Data()
	if it.reply, err = shop.Answered(ctx, w.db, it.key, body); it.reply != nil || err != nil {
		return err
	}
	var event *shop.Event
	var charge *shop.Charge
	it.reply, event, charge, err = shop.Place(ctx, w.db, it.key, body, &it.in, time.Now())
	if err != nil {
		return err
	}
	b.placed = append(b.placed, charge)
	return w.emit(ctx, event, b)
}

func (w *writer) settle(ctx context.Context, it *item, b *batch) error {
	event, err := shop.Settle(ctx, w.db, it.charge, it.outcome, time.Now())
	if err != nil || event == nil {
		return err
	}
	return w.emit(ctx, event, b)
}

func (w *writer) one(ctx context.Context, it *item, b *batch) error {
	if it.charge != nil {
		return w.settle(ctx, it, b)
	}
	return w.place(ctx, it, b)
}

// errAgain: an item has failed, after it may have changed something.
var errAgain = errors.New("an item has failed")

// all runs the items without savepoints, as nearly every batch can.
func (w *writer) all(ctx context.Context, items []*item, b *batch) error {
	for _, it := range items {
		if it.err = w.one(ctx, it, b); it.err != nil {
			return errAgain
		}
	}
	return nil
}

// each runs the items with a savepoint each, because one of them fails.
func (w *writer) each(ctx context.Context, items []*item, b *batch) error {
	for _, it := range items {
		if _, err := w.db.Exec(ctx, `SAVEPOINT one`); err != nil {
			return err
		}
		before, position := *b, w.position
		if it.err = w.one(ctx, it, b); it.err != nil {
			*b, w.position = before, position
			if _, err := w.db.Exec(ctx, `ROLLBACK TO one`); err != nil {
				return err
			}
		}
		if _, err := w.db.Exec(ctx, `RELEASE one`); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) prune(ctx context.Context) error {
	published := w.relay.published.Load()
	if published-w.pruned < pruneAfter {
		return nil
	}
	_, err := w.db.Exec(ctx, `DELETE FROM outbox WHERE position <= ?`, published)
	if err == nil {
		w.pruned = published
	}
	return err
}

type way func(ctx context.Context, items []*item, b *batch) error

// transaction runs the items in one transaction; after an error nothing of it is left.
func (w *writer) transaction(ctx context.Context, items []*item, run way) (*batch, error) {
	b, position, pruned := &batch{}, w.position, w.pruned
	if _, err := w.db.Exec(ctx, `BEGIN IMMEDIATE`); err != nil {
		return nil, err
	}
	err := run(ctx, items, b)
	if err == nil {
		err = w.prune(ctx)
	}
	if err == nil {
		_, err = w.db.Exec(ctx, `COMMIT`)
	}
	if err != nil {
		w.position, w.pruned = position, pruned
		_, back := w.db.Exec(ctx, `ROLLBACK`)
		return nil, errors.Join(err, back)
	}
	return b, nil
}

// commit runs a batch, and then does what waits for it: answers, events, charges.
func (w *writer) commit(ctx context.Context, items []*item) {
	b, err := w.transaction(ctx, items, w.all)
	if errors.Is(err, errAgain) {
		b, err = w.transaction(ctx, items, w.each)
	}
	if err != nil {
		log.Print("commit: ", err)
		b = &batch{}
	}
	w.relay.add(b.events)
	var again []*shop.Charge
	for _, it := range items {
		if err != nil {
			it.err = err
		}
		switch {
		case it.charge == nil:
			service.Answer(it.request, it.reply, it.err)
		case it.err != nil:
			again = append(again, it.charge)
		}
	}
	w.charge(ctx, b.placed)
	if len(again) > 0 {
		time.AfterFunc(chargeAgain, func() { w.charge(ctx, again) })
	}
}

// charge asks the provider, beside the writer.
func (w *writer) charge(ctx context.Context, charges []*shop.Charge) {
	if len(charges) == 0 {
		return
	}
	go func() {
		for _, c := range charges {
			select {
			case w.answers <- &item{charge: c, outcome: shop.Sandbox(c)}:
			case <-ctx.Done(): // they are unpaid at the next start
				return
			}
		}
	}()
}

// unpaid is what was placed and not paid when the process ended.
func (w *writer) unpaid(ctx context.Context) (charges []*shop.Charge, err error) {
	ids, err := w.placed(ctx)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		charge, err := shop.ReadCharge(ctx, w.db, id)
		if err != nil {
			return nil, err
		}
		if charge != nil {
			charges = append(charges, charge)
		}
	}
	return charges, nil
}

func (w *writer) placed(ctx context.Context) (ids []string, err error) {
	rows, err := w.db.Query(ctx, `SELECT order_id FROM orders WHERE status = 'placed'`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// gather adds what is there already, up to a batch.
func (w *writer) gather(items []*item) []*item {
	for len(items) < batchMax {
		select {
		case it := <-w.answers:
			items = append(items, it)
		case it := <-w.queue:
			items = append(items, it)
		default:
			return items
		}
	}
	return items
}

func (w *writer) run(ctx context.Context) {
	items := make([]*item, 0, batchMax)
	for {
		select {
		case it := <-w.answers:
			w.commit(ctx, w.gather(append(items[:0], it)))
		case it := <-w.queue:
			w.commit(ctx, w.gather(append(items[:0], it)))
		case <-ctx.Done():
			return
		}
	}
}
