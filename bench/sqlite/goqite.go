package main

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"maragu.dev/goqite"
)

// goqiteSchema is schema_sqlite.sql of goqite v0.4.0, which the package does not
// export.
const goqiteSchema = `
create table goqite (
  id text primary key default ('m_' || lower(hex(randomblob(16)))),
  created text not null default (strftime('%Y-%m-%dT%H:%M:%fZ')),
  updated text not null default (strftime('%Y-%m-%dT%H:%M:%fZ')),
  queue text not null,
  body blob not null,
  timeout text not null default (strftime('%Y-%m-%dT%H:%M:%fZ')),
  received integer not null default 0,
  priority integer not null default 0
) strict;

create trigger goqite_updated_timestamp after update on goqite begin
  update goqite set updated = strftime('%Y-%m-%dT%H:%M:%fZ') where id = old.id;
end;

create index goqite_queue_priority_created_idx on goqite (queue, priority desc, created);`

// goqitePeer is goqite on a pool of one connection, as its README advises.
type goqitePeer struct {
	db *sql.DB
	*goqite.Queue
}

func (l *lab) goqite(ctx context.Context) (*goqitePeer, error) {
	db, err := l.db(ctx, "goqite.db", goqiteSchema)
	if err != nil {
		return nil, err
	}
	return &goqitePeer{db, goqite.New(goqite.NewOpts{DB: db, Name: "orders", Timeout: time.Hour})}, nil
}

func (g *goqitePeer) send(ctx context.Context) error {
	return g.Send(ctx, goqite.Message{Body: body})
}

// fill sends n messages in one transaction.
func (g *goqitePeer) fill(ctx context.Context, n int) error {
	tx, err := g.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it does nothing
	for range n {
		if err := g.SendTx(ctx, tx, goqite.Message{Body: body}); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// work receives a message and deletes it.
func (g *goqitePeer) work(ctx context.Context) error {
	m, err := g.Receive(ctx)
	if err != nil {
		return err
	}
	if m == nil {
		return errors.New("goqite has run out of messages")
	}
	return g.Delete(ctx, m.ID)
}

func (g *goqitePeer) clear(ctx context.Context) error {
	_, err := g.db.ExecContext(ctx, "DELETE FROM goqite")
	return err
}
