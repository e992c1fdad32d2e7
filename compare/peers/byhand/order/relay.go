package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"journey-mesh.example/peers/service"
	"journey-mesh.example/peers/sqlite"
)

const (
	window    = 1024 // publishes that are not acknowledged
	ackMax    = 5 * time.Second
	lookMax   = 5 * time.Second
	restAfter = 200 * time.Millisecond // after a failure
)

// message is an event on its way to the stream.
type message struct {
	position int64
	id, kind string
	data     []byte
}

// relay publishes the outbox in order. Each message expects the stream's sequence before it, so
// that after a failure nothing behind it is taken; then the stream's last message says where to go
// on. What was acknowledged is not kept: a stream that loses it stays without it.
type relay struct {
	nc        *nats.Conn
	js        jetstream.JetStream
	position  int64 // of the outbox when it began
	published atomic.Int64

	mutex   sync.Mutex
	waiting []message // committed, and not acknowledged; the first is published + 1
	more    chan struct{}
}

func newRelay(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, db *sqlite.Pinned) (
	*relay, error) {
	r := &relay{nc: nc, js: js, more: make(chan struct{}, 1)}
	err := db.QueryRow(ctx, `SELECT coalesce((SELECT seq FROM sqlite_sequence
		WHERE name = 'outbox'), 0)`).Scan(&r.position)
	if err != nil {
		return nil, err
	}
	rows, err := db.Query(ctx, `SELECT position, id, type, data FROM outbox ORDER BY position`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var m message
		if err := rows.Scan(&m.position, &m.id, &m.kind, &m.data); err != nil {
			return nil, err
		}
		r.waiting = append(r.waiting, m)
	}
	r.published.Store(r.position - int64(len(r.waiting)))
	return r, rows.Err()
}

// add takes what was committed.
func (r *relay) add(messages []message) {
	if len(messages) == 0 {
		return
	}
	r.mutex.Lock()
	r.waiting = append(r.waiting, messages...)
	r.mutex.Unlock()
	select {
	case r.more <- struct{}{}:
	default:
	}
}

// taken: the stream has everything up to there.
func (r *relay) taken(position int64) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	n := 0
	for n < len(r.waiting) && r.waiting[n].position <= position {
		n++
	}
	r.waiting = r.waiting[n:]
	if position > r.published.Load() {
		r.published.Store(position)
	}
}

// behind is what waits behind a position, at most half a window.
func (r *relay) behind(position int64) []message {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	burst := r.waiting
	if len(burst) > 0 && burst[0].position <= position {
		burst = burst[min(position-burst[0].position+1, int64(len(burst))):]
	}
	return burst[:min(len(burst), window/2)]
}

// look is the stream's end, at which one of our positions stands.
func (r *relay) look(ctx context.Context) (sequence uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookMax)
	defer cancel()
	stream, err := service.MakeStream(ctx, r.js)
	if err != nil {
		return 0, err
	}
	info, err := stream.Info(ctx)
	if err != nil {
		return 0, err
	}
	sequence = info.State.LastSeq
	var position int64
	if sequence > 0 {
		last, err := stream.GetMsg(ctx, sequence)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return sequence, nil
		} else if err != nil {
			return 0, err
		}
		position, err = strconv.ParseInt(last.Header.Get("Outbox-Position"), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("the stream's last message is not ours: %w", err)
		}
	}
	if published := r.published.Load(); position < published {
		log.Printf("relay: the stream has lost the events %d to %d", position+1, published)
	}
	r.taken(position)
	return sequence, nil
}

func (r *relay) message(m *message, sequence uint64) *nats.Msg {
	return &nats.Msg{Subject: service.Subject + m.kind, Data: m.data, Header: nats.Header{
		"Nats-Msg-Id":                 {m.id},
		"Nats-Expected-Last-Sequence": {strconv.FormatUint(sequence, 10)},
		"Outbox-Position":             {strconv.FormatInt(m.position, 10)},
		"Type":                        {m.kind},
		"Time":                        {time.Now().UTC().Format(time.RFC3339Nano)},
	}}
}

// pipeline is one run of publishes, each of which stands on the one before it.
type pipeline struct {
	*relay
	flight   []sent
	sequence uint64 // the stream's, after all that was sent
	next     int64  // the position that was sent last
}

type sent struct {
	future   jetstream.PubAckFuture
	position int64
}

func (p *pipeline) acknowledged() {
	p.taken(p.flight[0].position)
	p.flight = p.flight[1:]
}

// settle takes the acknowledgements that are there.
func (p *pipeline) settle() error {
	for len(p.flight) > 0 {
		select {
		case <-p.flight[0].future.Ok():
			p.acknowledged()
		case err := <-p.flight[0].future.Err():
			return err
		default:
			return nil
		}
	}
	return nil
}

// wait waits for the oldest acknowledgement, where there is one; or, with more, until more waits.
func (p *pipeline) wait(ctx context.Context, more <-chan struct{}) error {
	if len(p.flight) == 0 {
		select {
		case <-more:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	select {
	case <-more:
		return nil
	case <-p.flight[0].future.Ok():
		p.acknowledged()
		return nil
	case err := <-p.flight[0].future.Err():
		return err
	case <-time.After(ackMax):
		return errors.New("no acknowledgement")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *pipeline) send(ctx context.Context, m *message) error {
	for len(p.flight) >= window-1 {
		if err := p.wait(ctx, nil); err != nil {
			return err
		}
	}
	future, err := p.js.PublishMsgAsync(p.message(m, p.sequence))
	if err != nil {
		return err
	}
	p.flight = append(p.flight, sent{future, m.position})
	p.sequence++
	p.next = m.position
	return nil
}

// pump publishes until something fails.
func (p *pipeline) pump(ctx context.Context) error {
	for {
		burst := p.behind(p.next)
		for i := range burst {
			if err := p.send(ctx, &burst[i]); err != nil {
				return err
			}
		}
		if err := p.settle(); err != nil {
			return err
		}
		if len(burst) == 0 {
			if err := p.wait(ctx, p.more); err != nil {
				return err
			}
		}
	}
}

func (r *relay) run(ctx context.Context) {
	for ctx.Err() == nil {
		sequence, err := r.look(ctx)
		if err == nil {
			p := &pipeline{relay: r, sequence: sequence, next: r.published.Load()}
			err = p.pump(ctx)
		}
		if ctx.Err() == nil {
			log.Print("relay: ", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(restAfter):
		}
		r.drain(ctx)
	}
}

// drain waits for the acknowledgements that may still come, before the stream is looked at again.
func (r *relay) drain(ctx context.Context) {
	if r.js.PublishAsyncPending() > 0 && r.nc.IsConnected() {
		select {
		case <-r.js.PublishAsyncComplete():
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}
