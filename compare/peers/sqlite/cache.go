package sqlite

import (
	"context"
	"database/sql"
	"slices"
	"sync"
)

// Cache has each statement prepared once; database/sql keeps it on the only connection. That
// connection is taken during a transaction, so new statements are prepared before the next one.
type Cache struct {
	db    *sql.DB
	mutex sync.Mutex
	stmts map[string]*sql.Stmt
	fresh []string // to be prepared
}

// Tx is a transaction on prepared statements.
type Tx struct {
	*sql.Tx
	cache *Cache
}

func NewCache(db *sql.DB) *Cache {
	return &Cache{db: db, stmts: map[string]*sql.Stmt{}}
}

func (c *Cache) Begin(ctx context.Context) (Tx, error) {
	if err := c.prepare(); err != nil {
		return Tx{}, err
	}
	tx, err := c.db.BeginTx(ctx, nil)
	return Tx{tx, c}, err
}

// prepare waits for the connection, so it does not keep the lock meanwhile.
func (c *Cache) prepare() error {
	for _, query := range c.takeFresh() {
		stmt, err := c.db.Prepare(query)
		if err != nil {
			return err
		}
		c.mutex.Lock()
		c.stmts[query] = stmt
		c.mutex.Unlock()
	}
	return nil
}

// takeFresh takes the queries that are to be prepared; a query that fails comes again.
func (c *Cache) takeFresh() []string {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	fresh := c.fresh
	c.fresh = nil
	return fresh
}

func (c *Cache) find(query string) *sql.Stmt {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	stmt := c.stmts[query]
	if stmt == nil && !slices.Contains(c.fresh, query) {
		c.fresh = append(c.fresh, query)
	}
	return stmt
}

// QueryRow runs a query outside of transactions.
func (c *Cache) QueryRow(ctx context.Context, query string, args ...any) *sql.Row {
	return c.db.QueryRowContext(ctx, query, args...)
}

// Exec runs a statement outside of transactions.
func (c *Cache) Exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return c.db.ExecContext(ctx, query, args...)
}

func (t Tx) Exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if stmt := t.cache.find(query); stmt != nil {
		return t.StmtContext(ctx, stmt).ExecContext(ctx, args...)
	}
	return t.ExecContext(ctx, query, args...)
}

func (t Tx) QueryRow(ctx context.Context, query string, args ...any) *sql.Row {
	if stmt := t.cache.find(query); stmt != nil {
		return t.StmtContext(ctx, stmt).QueryRowContext(ctx, args...)
	}
	return t.QueryRowContext(ctx, query, args...)
}
