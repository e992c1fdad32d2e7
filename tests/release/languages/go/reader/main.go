// reader DATABASE keeps in an SQLite file how each order of a mesh stands.
//
// It is a reader in the sense of docs/PROTOCOL.md, which the comments cite (R4: rule 4 of a
// reader). It reads order-svc's events through a durable consumer of the stream ORDER, and folds
// them into the table `orders`. It may be killed at any moment, and started again. NATS_URL says
// where the server is.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	_ "github.com/mattn/go-sqlite3"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"journey-mesh.example/languages/events"
)

const name = "orders-go" // of this reader: its durable

var leader = events.Leader{Log: "ORDER", Service: "order-svc", Prefix: "order"}

type reader struct {
	nc *nats.Conn
	js jetstream.JetStream
	db *sql.DB
}

// fill (R7): what the stream has lost comes from the leader's log, up to there and no further.
func (r *reader) fill(tx *sql.Tx, at events.Cursor, until int64) (events.Cursor, error) {
	for at.Position < until {
		found, err := r.page(at.Position, min(until-at.Position, 500))
		if err != nil || len(found.Events) == 0 {
			return at, err
		}
		for i := range found.Events {
			event := &found.Events[i]
			event.Log = leader.Log
			if events.ChainAfter(at.Chain, event) != event.Chain {
				return at, errors.New("what the leader sends does not follow")
			}
			if err := apply(tx, event); err != nil {
				return at, err
			}
			at = events.Moved(at, event)
		}
		fmt.Printf("filled from %s.events up to %d\n", leader.Prefix, at.Position)
	}
	return at, nil
}

func decode(message jetstream.Msg) (events.Event, error) {
	var headers []events.Header
	for key, values := range message.Headers() {
		for _, value := range values {
			headers = append(headers, events.Header{Key: key, Value: value})
		}
	}
	return events.Decode(leader, message.Subject(), headers, string(message.Data()))
}

// take (R2, R4): what a batch says, and how far we have read, become true in one transaction.
func (r *reader) take(tx *sql.Tx, messages []jetstream.Msg) error {
	at, err := cursor(tx)
	strange := false
	for i := 0; err == nil && i < len(messages); i++ {
		event, notOurs := decode(messages[i])
		if notOurs != nil {
			continue // M7
		}
		what := events.Fit(at, &event)
		if what == "gap" {
			at, err = r.fill(tx, at, event.Position-1)
			what = events.Fit(at, &event)
		}
		if err == nil && what == "applied" {
			err = apply(tx, &event)
			at = events.Moved(at, &event)
		}
		strange = strange || (what != "applied" && what != "repeat")
	}
	if err == nil && strange {
		err = r.compare(at)
	}
	if err == nil && at.Position > 0 {
		_, err = tx.Exec("INSERT OR REPLACE INTO cursor VALUES (?, ?, ?, ?)", leader.Log,
			at.Position, at.Chain, at.Term)
	}
	return err
}

// round takes what there is; false: there was nothing, and the durable is made anew (R9).
func (r *reader) round(durable jetstream.Consumer) (bool, error) {
	var messages []jetstream.Msg
	batch, err := durable.Fetch(500, jetstream.FetchMaxWait(time.Second))
	if err != nil {
		return false, err
	}
	for message := range batch.Messages() {
		messages = append(messages, message)
	}
	if len(messages) == 0 { // silence: is there nothing?
		at, err := cursor(r.db)
		if err != nil {
			return false, err
		}
		found, err := r.page(at.Position, 1)
		return found.LastPosition == at.Position, err
	}
	tx, err := r.db.Begin()
	if err != nil {
		return false, err
	}
	if err = r.take(tx, messages); err != nil {
		return false, errors.Join(err, tx.Rollback())
	}
	if err = tx.Commit(); err != nil {
		return false, err
	}
	return true, messages[len(messages)-1].Ack() // R4: after the commit, of all before it, too
}

// follow (R1): has its durable made at the cursor, and reads until that seems to be wrong.
func (r *reader) follow() error {
	at, err := cursor(r.db)
	if err != nil {
		return err
	}
	err = r.ask("durable."+name+".make", map[string]any{"start_sequence": at.Position + 1}, &page{})
	if err != nil {
		return err
	}
	durable, err := r.js.Consumer(context.Background(), leader.Log, name)
	for goes := true; err == nil && goes; {
		goes, err = r.round(durable)
	}
	return err
}

func main() {
	nc, err := nats.Connect(os.Getenv("NATS_URL"), nats.MaxReconnects(-1),
		nats.ReconnectWait(200*time.Millisecond))
	if err != nil {
		log.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		log.Fatal(err)
	}
	db, err := sql.Open("sqlite3", "file:"+os.Args[1]+"?_busy_timeout=5000&_txlock=immediate")
	if err == nil {
		db.SetMaxOpenConns(1)
		_, err = db.Exec(tables)
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("begins")
	for r := (&reader{nc, js, db}); ; time.Sleep(500 * time.Millisecond) {
		if err := r.follow(); err != nil {
			fmt.Println("waits:", err)
		}
	}
}
