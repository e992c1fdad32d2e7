// Package sqlite opens the peers' databases as a careful team does, and keeps their prepared
// statements: Cache for database/sql's transactions, Pinned for one connection and own BEGINs.
package sqlite

import (
	"database/sql"
	"net/url"

	_ "github.com/mattn/go-sqlite3" // the driver
)

// Open opens the one writing connection and makes the tables: WAL, a sync at each commit, the lock
// taken at BEGIN.
func Open(path, tables string) (*sql.DB, error) {
	options := "?_journal_mode=WAL&_synchronous=FULL&_busy_timeout=5000&_txlock=immediate" +
		"&_cache_size=-16000"
	db, err := sql.Open("sqlite3", "file:"+(&url.URL{Path: path}).EscapedPath()+options)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(tables); err != nil {
		_ = db.Close() // the first error says more
		return nil, err
	}
	return db, nil
}
