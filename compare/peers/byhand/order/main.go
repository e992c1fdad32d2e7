// The order service by hand, for speed. One writer goroutine takes all that waits into one
// transaction (group commit, writer.go); replies leave after the commit; a relay publishes with a
// pipeline of asynchronous publishes (relay.go).
package main

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"journey-mesh.example/peers/service"
	"journey-mesh.example/peers/shop"
	"journey-mesh.example/peers/sqlite"
)

const name = "order-svc"

// request takes an order.place; it runs on the subscription's goroutine.
func (w *writer) request(r micro.Request) {
	it := &item{request: r, key: r.Headers().Get("Idempotency-Key")}
	if err := service.Parse(r, &it.in); err != nil {
		service.Answer(r, nil, err)
		return
	}
	select {
	case w.queue <- it:
	default:
		service.Answer(r, nil, &shop.Refusal{Code: "busy", Message: "too many requests wait"})
	}
}

func run(ctx context.Context, o *service.Options) error {
	db, err := sqlite.Open(o.Database(), shop.OrderTables+outboxTable)
	if err != nil {
		return err
	}
	defer db.Close()
	pinned, err := sqlite.Pin(db)
	if err != nil {
		return err
	}
	nc, err := service.Connect(o)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(window))
	if err != nil {
		return err
	}
	relay, err := newRelay(ctx, nc, js, pinned)
	if err != nil {
		return err
	}
	w := newWriter(pinned, relay)
	unpaid, err := w.unpaid(ctx)
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	go relay.run(ctx)
	go func() {
		defer close(ended)
		w.run(ctx)
	}()
	w.charge(ctx, unpaid)
	svc, err := service.Serve(nc, o, "order.place", w.request)
	if err != nil {
		return err
	}
	<-ctx.Done()
	<-ended // the writer's last transaction
	return svc.Stop()
}

func main() { service.Main(name, run) }
