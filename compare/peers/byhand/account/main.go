// The account service by hand: it pulls in batches, one transaction for all that is there, the
// cursor in it, one acknowledgement for all.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"journey-mesh.example/peers/service"
	"journey-mesh.example/peers/shop"
	"journey-mesh.example/peers/sqlite"
)

const (
	name        = "account-svc"
	batchMax    = 512
	askedMax    = 4096
	pendingMax  = 8192 // not acknowledged
	pullExpiry  = 5 * time.Second
	restAfter   = 200 * time.Millisecond // after a failure
	cursorTable = `CREATE TABLE IF NOT EXISTS cursor (
		source TEXT PRIMARY KEY, position INTEGER NOT NULL) STRICT, WITHOUT ROWID;`
)

// account belongs to one goroutine, but for what is sent to asked.
type account struct {
	db      *sqlite.Pinned
	cursor  int64
	waiters service.Waiters
	asked   chan micro.Request
}

// apply folds the messages in one transaction. They are acknowledged after it.
func (a *account) apply(ctx context.Context, messages []jetstream.Msg) error {
	if _, err := a.db.Exec(ctx, `BEGIN IMMEDIATE`); err != nil {
		return err
	}
	cursor, ids, err := a.fold(ctx, messages)
	if err == nil {
		_, err = a.db.Exec(ctx, `COMMIT`)
	}
	if err != nil {
		_, back := a.db.Exec(ctx, `ROLLBACK`)
		return errors.Join(err, back)
	}
	a.cursor = cursor
	a.waiters.Done(ids...)
	return messages[len(messages)-1].Ack()
}

func (a *account) fold(ctx context.Context, messages []jetstream.Msg) (cursor int64, ids []string,
	err error) {
	cursor, ids = a.cursor, make([]string, 0, len(messages))
	for _, m := range messages {
		position, err := strconv.ParseInt(m.Headers().Get("Outbox-Position"), 10, 64)
		if err != nil {
			return 0, nil, fmt.Errorf("a message without a position: %w", err)
		}
		if position <= cursor {
			continue // had it already
		}
		if position != cursor+1 { // nobody has what is missing: the outbox is emptied
			log.Printf("gap: %d after %d", position, cursor)
		}
		id, err := shop.Project(ctx, a.db, m.Headers().Get("Type"), m.Data(),
			m.Headers().Get("Time"))
		if err != nil {
			return 0, nil, err
		}
		cursor, ids = position, append(ids, id)
	}
	_, err = a.db.Exec(ctx, `INSERT INTO cursor VALUES (?, ?) ON CONFLICT (source)
		DO UPDATE SET position = excluded.position`, service.Stream, cursor)
	return cursor, ids, err
}

// answer has a question wait, unless the order is there.
func (a *account) answer(ctx context.Context, r micro.Request) {
	var get shop.GetPurchase
	if err := service.Parse(r, &get); err != nil {
		service.Answer(r, nil, err)
		return
	}
	there, err := shop.HasPurchase(ctx, a.db, &get)
	if err != nil || there {
		service.Answer(r, r.Data(), err)
		return
	}
	a.waiters.Add(get.OrderID, func(err error) { service.Answer(r, r.Data(), err) })
}

// gather adds what is there already, up to a batch.
func gather(messages []jetstream.Msg, in <-chan jetstream.Msg) []jetstream.Msg {
	for len(messages) < batchMax {
		select {
		case m := <-in:
			messages = append(messages, m)
		default:
			return messages
		}
	}
	return messages
}

// consume reads the stream until something fails.
func (a *account) consume(ctx context.Context, js jetstream.JetStream) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	stream, err := service.MakeStream(ctx, js)
	if err != nil {
		return err
	}
	consumer, err := stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: name, AckPolicy: jetstream.AckAllPolicy, MaxAckPending: pendingMax})
	if err != nil {
		return err
	}
	in, failed := make(chan jetstream.Msg, 2*batchMax), make(chan error, 1)
	consuming, err := consumer.Consume(func(m jetstream.Msg) {
		select {
		case in <- m:
		case <-ctx.Done():
		}
	}, jetstream.PullMaxMessages(2*batchMax), jetstream.PullExpiry(pullExpiry),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
			select {
			case failed <- err:
			default:
			}
		}))
	if err != nil {
		return err
	}
	defer consuming.Stop()
	messages := make([]jetstream.Msg, 0, batchMax)
	for {
		select {
		case m := <-in:
			if err := a.apply(ctx, gather(append(messages[:0], m), in)); err != nil {
				return err
			}
		case r := <-a.asked:
			a.answer(ctx, r)
		case err := <-failed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func run(ctx context.Context, o *service.Options) error {
	db, err := sqlite.Open(o.Database(), shop.AccountTables+cursorTable)
	if err != nil {
		return err
	}
	defer db.Close()
	pinned, err := sqlite.Pin(db)
	if err != nil {
		return err
	}
	a := &account{db: pinned, asked: make(chan micro.Request, askedMax)}
	err = pinned.QueryRow(ctx, `SELECT coalesce((SELECT position FROM cursor WHERE source = ?), 0)`,
		service.Stream).Scan(&a.cursor)
	if err != nil {
		return err
	}
	nc, err := service.Connect(o)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	svc, err := service.Serve(nc, o, "account.get", func(r micro.Request) { a.asked <- r })
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		if err := a.consume(ctx, js); ctx.Err() == nil {
			log.Print("consume: ", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(restAfter):
		}
	}
	return svc.Stop()
}

func main() { service.Main(name, run) }
