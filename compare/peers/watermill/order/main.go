// The order service with Watermill, as its documents have it: nats.go's micro, Watermill's router,
// forwarder (outbox) and NATS publisher, database/sql; one transaction a request.
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wmnats "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	wmsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/components/forwarder"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"journey-mesh.example/peers/service"
	"journey-mesh.example/peers/shop"
	"journey-mesh.example/peers/sqlite"
)

const (
	name         = "order-svc"
	outbox       = "outbox"
	requestMax   = 5 * time.Second
	lookAgain    = time.Second // for what a signal has not told
	chargesAtOne = 100
)

type order struct {
	db     *sql.DB
	cache  *sqlite.Cache
	logger watermill.LoggerAdapter
	stored chan struct{} // the outbox has something
	placed chan struct{} // an order waits for its payment
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// within runs one transaction; commit only where do says so.
func (o *order) within(ctx context.Context, do func(tx sqlite.Tx) (commit bool, err error)) error {
	tx, err := o.cache.Begin(ctx)
	if err != nil {
		return err
	}
	commit, err := do(tx)
	if err == nil && commit {
		return tx.Commit()
	}
	return errors.Join(err, tx.Rollback())
}

// emit stores the event in the outbox, in the same transaction.
func (o *order) emit(ctx context.Context, tx sqlite.Tx, event *shop.Event) error {
	data, err := json.Marshal(event.Data)
	if err != nil {
		return err
	}
	publisher, err := wmsql.NewPublisher(wmsql.TxFromStdSQL(tx.Tx),
		wmsql.PublisherConfig{SchemaAdapter: sqliteSchema{}}, o.logger)
	if err != nil {
		return err
	}
	msg := message.NewMessage(event.ID, data)
	msg.SetContext(ctx)
	msg.Metadata.Set("type", event.Type)
	msg.Metadata.Set("time", time.Now().UTC().Format(time.RFC3339Nano))
	return forwarder.NewPublisher(publisher, forwarder.PublisherConfig{ForwarderTopic: outbox}).
		Publish(service.Subject+event.Type, msg)
}

func (o *order) place(r micro.Request) {
	var in shop.PlaceOrder
	if err := service.Parse(r, &in); err != nil {
		service.Answer(r, nil, err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), requestMax)
	defer cancel()
	key, isNew := r.Headers().Get("Idempotency-Key"), false
	var reply []byte
	err := o.within(ctx, func(tx sqlite.Tx) (bool, error) {
		var err error
		if reply, err = shop.Answered(ctx, tx, key, r.Data()); reply != nil || err != nil {
			return false, err
		}
		var event *shop.Event
		reply, event, _, err = shop.Place(ctx, tx, key, r.Data(), &in, time.Now())
		if err != nil {
			return false, err
		}
		isNew = true
		return true, o.emit(ctx, tx, event)
	})
	service.Answer(r, reply, err)
	if err == nil && isNew {
		wake(o.stored)
		wake(o.placed)
	}
}

// ---- Payment: all that waits, one transaction each

func (o *order) pay(ctx context.Context, orderID string) error {
	err := o.within(ctx, func(tx sqlite.Tx) (bool, error) {
		charge, err := shop.ReadCharge(ctx, tx, orderID)
		if err != nil || charge == nil {
			return false, err
		}
		event, err := shop.Settle(ctx, tx, charge, shop.Sandbox(charge), time.Now())
		if err != nil || event == nil {
			return false, err
		}
		return true, o.emit(ctx, tx, event)
	})
	if err == nil {
		wake(o.stored)
	}
	return err
}

func (o *order) unpaid(ctx context.Context) (ids []string, err error) {
	rows, err := o.db.QueryContext(ctx, `SELECT order_id FROM orders WHERE status = 'placed'
		ORDER BY order_id LIMIT ?`, chargesAtOne)
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

func (o *order) payAll(ctx context.Context) {
	for ctx.Err() == nil {
		ids, err := o.unpaid(ctx)
		for i := 0; i < len(ids) && err == nil; i++ {
			err = o.pay(ctx, ids[i])
		}
		if err != nil {
			log.Print("payment: ", err)
		}
		if len(ids) == 0 || err != nil {
			select {
			case <-o.placed:
			case <-time.After(lookAgain):
			case <-ctx.Done():
			}
		}
	}
}

// ---- Start

// forward has Watermill carry the outbox to the stream.
func (o *order) forward(nc *nats.Conn) (*forwarder.Forwarder, error) {
	publisher, err := wmnats.NewPublisherWithNatsConn(nc, wmnats.PublisherPublishConfig{
		Marshaler: &wmnats.NATSMarshaler{}, SubjectCalculator: wmnats.DefaultSubjectCalculator,
		JetStream: wmnats.JetStreamConfig{TrackMsgId: true},
	}, o.logger)
	if err != nil {
		return nil, err
	}
	return forwarder.NewForwarder(&sqliteSubscriber{o.db, o.stored, o.logger}, publisher, o.logger,
		forwarder.Config{ForwarderTopic: outbox})
}

func run(ctx context.Context, options *service.Options) error {
	db, err := sqlite.Open(options.Database(), shop.OrderTables+sqliteTables(outbox))
	if err != nil {
		return err
	}
	defer db.Close()
	nc, err := service.Connect(options)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	if _, err := service.MakeStream(ctx, js); err != nil {
		return err
	}
	o := &order{db: db, cache: sqlite.NewCache(db), logger: watermill.NewStdLogger(false, false),
		stored: make(chan struct{}, 1), placed: make(chan struct{}, 1)}
	forward, err := o.forward(nc)
	if err != nil {
		return fmt.Errorf("forwarder: %w", err)
	}
	go o.payAll(ctx)
	svc, err := service.Serve(nc, options, "order.place", o.place)
	if err != nil {
		return err
	}
	return errors.Join(forward.Run(ctx), svc.Stop())
}

func main() { service.Main(name, run) }
