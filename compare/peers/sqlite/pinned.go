package sqlite

import (
	"context"
	"database/sql"
)

// Pinned is one connection with its prepared statements, for one goroutine; the caller begins and
// commits by statements. A context that can end is not given to the driver, because go-sqlite3 then
// starts a goroutine for each statement.
type Pinned struct {
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
}

func Pin(db *sql.DB) (*Pinned, error) {
	conn, err := db.Conn(context.Background())
	if err != nil {
		return nil, err
	}
	return &Pinned{conn, map[string]*sql.Stmt{}}, nil
}

func (p *Pinned) stmt(query string) (*sql.Stmt, error) {
	if stmt := p.stmts[query]; stmt != nil {
		return stmt, nil
	}
	stmt, err := p.conn.PrepareContext(context.Background(), query)
	if err == nil {
		p.stmts[query] = stmt
	}
	return stmt, err
}

func (p *Pinned) Exec(_ context.Context, query string, args ...any) (sql.Result, error) {
	stmt, err := p.stmt(query)
	if err != nil {
		return nil, err
	}
	return stmt.Exec(args...)
}

func (p *Pinned) QueryRow(_ context.Context, query string, args ...any) *sql.Row {
	stmt, err := p.stmt(query)
	if err != nil { // the same error comes out of Scan
		return p.conn.QueryRowContext(context.Background(), query, args...)
	}
	return stmt.QueryRow(args...)
}

func (p *Pinned) Query(_ context.Context, query string, args ...any) (*sql.Rows, error) {
	stmt, err := p.stmt(query)
	if err != nil {
		return nil, err
	}
	return stmt.Query(args...)
}
