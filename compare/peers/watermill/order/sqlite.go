// Watermill's SQL Pub/Sub on SQLite. watermill-sql has MySQL and PostgreSQL only, so this is what a
// team would write: a schema adapter for its publisher, and a subscriber that reads the outbox in
// short transactions, because watermill-sql's keeps one open over the publishing, which in SQLite
// keeps the writers out.
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wmsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
)

const (
	batch  = 100         // as watermill-sql's default
	resend = time.Second // likewise
)

func sqliteTables(topic string) string {
	return `CREATE TABLE IF NOT EXISTS "watermill_` + topic + `" (
		"offset" INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL, payload BLOB, metadata BLOB);`
}

type sqliteSchema struct{ wmsql.DefaultMySQLSchema }

func (sqliteSchema) SubscribeIsolationLevel() sql.IsolationLevel { return sql.LevelDefault }

type sqliteSubscriber struct {
	db     *sql.DB
	more   chan struct{}
	logger watermill.LoggerAdapter
}

type row struct {
	offset int64
	msg    *message.Message
}

func (s *sqliteSubscriber) read(ctx context.Context, topic string) (found []row, err error) {
	rows, err := s.db.QueryContext(ctx, `SELECT "offset", uuid, payload, metadata
		FROM "watermill_`+topic+`" ORDER BY "offset" LIMIT ?`, batch)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var offset int64
		var uuid string
		var payload, metadata []byte
		if err := rows.Scan(&offset, &uuid, &payload, &metadata); err != nil {
			return nil, err
		}
		msg := message.NewMessage(uuid, payload)
		if err := json.Unmarshal(metadata, &msg.Metadata); err != nil {
			return nil, err
		}
		found = append(found, row{offset, msg})
	}
	return found, rows.Err()
}

// hand gives one row to Watermill. false: it was not published.
func hand(ctx context.Context, msg *message.Message, out chan<- *message.Message) bool {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	msg.SetContext(inner)
	select {
	case out <- msg:
	case <-ctx.Done():
		return false
	}
	select {
	case <-msg.Acked():
		return true
	case <-msg.Nacked():
	case <-ctx.Done():
	}
	return false
}

// forward hands the rows out one by one, and takes those from the table that were published. false:
// one of them was not.
func (s *sqliteSubscriber) forward(ctx context.Context, topic string, rows []row,
	out chan<- *message.Message) (all bool, err error) {
	var acked int64
	all = true
	for i := 0; i < len(rows) && all; i++ {
		if all = hand(ctx, rows[i].msg, out); all {
			acked = rows[i].offset
		}
	}
	if acked > 0 { // also at the end: these are published
		_, err = s.db.Exec(`DELETE FROM "watermill_`+topic+`" WHERE "offset" <= ?`, acked)
	}
	return all, err
}

func (s *sqliteSubscriber) wait(ctx context.Context, most time.Duration, more <-chan struct{}) {
	select {
	case <-more:
	case <-time.After(most):
	case <-ctx.Done():
	}
}

func (s *sqliteSubscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message,
	error) {
	out := make(chan *message.Message)
	go func() {
		defer close(out)
		for ctx.Err() == nil {
			all := true
			rows, err := s.read(ctx, topic)
			if err == nil && len(rows) > 0 {
				all, err = s.forward(ctx, topic, rows, out)
			}
			if err != nil && ctx.Err() == nil {
				s.logger.Error("outbox", err, nil)
			}
			switch {
			case !all || err != nil:
				s.wait(ctx, resend, nil)
			case len(rows) == 0:
				s.wait(ctx, lookAgain, s.more)
			}
		}
	}()
	return out, nil
}

func (s *sqliteSubscriber) Close() error { return nil }
