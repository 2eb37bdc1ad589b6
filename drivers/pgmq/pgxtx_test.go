package pgmq

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/portmq/mq/driver"
)

// connectedTx is a transaction of which only the connection is asked for.
type connectedTx struct {
	pgx.Tx
	conn *pgx.Conn
}

func (t connectedTx) Conn() *pgx.Conn { return t.conn }

// TestTxRefuses: nil is refused, and what cannot be told is not. See
// TestPGXTxElsewhere.
func TestTxRefuses(t *testing.T) {
	noEnvironment(t)
	home, err := pgx.ParseConfig("postgres://app@h:5432/shop")
	if err != nil {
		t.Fatal(err)
	}
	requireErr(t, pgxTx{}.check(home), driver.ErrInvalid)
	if err := (pgxTx{connectedTx{}}).check(home); err != nil {
		t.Errorf("of a mock: %v", err)
	}
}
