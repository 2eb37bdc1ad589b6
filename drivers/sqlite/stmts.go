package sqlite

import (
	"context"
	"database/sql"
)

// stmts are the statements of a pool, prepared. They must be prepared while no
// transaction is open: a pool may have one connection only.
type stmts map[string]*sql.Stmt

// prepare prepares every statement.
func prepare(ctx context.Context, db *sql.DB) (stmts, error) {
	s := make(stmts)
	texts := make([]string, 0, len(statements)+len(inserts))
	for name, text := range statements {
		if name != "insert" { // it is not whole
			texts = append(texts, text)
		}
	}
	for _, text := range inserts {
		texts = append(texts, text)
	}
	for _, text := range texts {
		stmt, err := db.PrepareContext(ctx, text)
		if err != nil {
			s.close()
			return nil, err
		}
		s[text] = stmt
	}
	return s, nil
}

func (s stmts) close() {
	for _, stmt := range s {
		_ = stmt.Close()
	}
}

// ExecContext and QueryContext run a statement on any connection of the pool.
func (s stmts) ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error) {
	return s[text].ExecContext(ctx, args...)
}

func (s stmts) QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	return s[text].QueryContext(ctx, args...)
}

// in returns what runs the statements inside tx.
func (s stmts) in(tx *sql.Tx) preparedTx { return preparedTx{s, tx} }

type preparedTx struct {
	stmts stmts
	tx    *sql.Tx
}

func (p preparedTx) ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error) {
	if stmt := p.stmts[text]; stmt != nil {
		return p.tx.StmtContext(ctx, stmt).ExecContext(ctx, args...)
	}
	return p.tx.ExecContext(ctx, text, args...)
}

func (p preparedTx) QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	if stmt := p.stmts[text]; stmt != nil {
		return p.tx.StmtContext(ctx, stmt).QueryContext(ctx, args...)
	}
	return p.tx.QueryContext(ctx, text, args...)
}
