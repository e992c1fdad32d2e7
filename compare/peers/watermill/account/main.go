// The account service with Watermill: its router on a durable consumer, an inbox, one transaction a
// message.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/ThreeDotsLabs/watermill"
	wmnats "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"journey-mesh.example/peers/service"
	"journey-mesh.example/peers/shop"
	"journey-mesh.example/peers/sqlite"
)

const (
	name  = "account-svc"
	inbox = `CREATE TABLE IF NOT EXISTS inbox (id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;`
)

type account struct {
	cache   *sqlite.Cache
	waiters service.Waiters
}

// project folds an event into the tables, once: the inbox knows the events that were folded.
func (a *account) project(msg *message.Message) (err error) {
	ctx := msg.Context()
	tx, err := a.cache.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if back := tx.Rollback(); back != nil && !errors.Is(back, sql.ErrTxDone) {
			err = errors.Join(err, back)
		}
	}()
	result, err := tx.Exec(ctx, `INSERT INTO inbox (id) VALUES (?) ON CONFLICT DO NOTHING`,
		msg.UUID)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return err // had it already
	}
	id, err := shop.Project(ctx, tx, msg.Metadata.Get("type"), msg.Payload,
		msg.Metadata.Get("time"))
	if err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	a.waiters.Done(id)
	return nil
}

func (a *account) get(r micro.Request) {
	var get shop.GetPurchase
	if err := service.Parse(r, &get); err != nil {
		service.Answer(r, nil, err)
		return
	}
	// First wait, then look: it may come in between.
	a.waiters.Add(get.OrderID, func(err error) { service.Answer(r, r.Data(), err) })
	there, err := shop.HasPurchase(context.Background(), a.cache, &get)
	if err == nil && there {
		a.waiters.Done(get.OrderID)
	}
}

func subscribe(nc *nats.Conn, logger watermill.LoggerAdapter) (message.Subscriber, error) {
	return wmnats.NewSubscriberWithNatsConn(nc, wmnats.SubscriberSubscriptionConfig{
		Unmarshaler:       &wmnats.NATSMarshaler{},
		SubjectCalculator: wmnats.DefaultSubjectCalculator,
		QueueGroupPrefix:  name,
		JetStream: wmnats.JetStreamConfig{DurablePrefix: name, AckAsync: true,
			SubscribeOptions: []nats.SubOpt{nats.DeliverAll(), nats.AckExplicit(),
				nats.BindStream(service.Stream)}},
	}, logger)
}

func run(ctx context.Context, o *service.Options) error {
	db, err := sqlite.Open(o.Database(), shop.AccountTables+inbox)
	if err != nil {
		return err
	}
	defer db.Close()
	a := &account{cache: sqlite.NewCache(db)}
	nc, err := service.Connect(o)
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
	logger := watermill.NewStdLogger(false, false)
	subscriber, err := subscribe(nc, logger)
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	router, err := message.NewRouter(message.RouterConfig{}, logger)
	if err != nil {
		return err
	}
	router.AddMiddleware(middleware.Recoverer)
	router.AddConsumerHandler("project-purchases", service.Subject+">", subscriber, a.project)
	svc, err := service.Serve(nc, o, "account.get", a.get)
	if err != nil {
		return err
	}
	return errors.Join(router.Run(ctx), svc.Stop())
}

func main() { service.Main(name, run) }
