package pgmq

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/portmq/mq/driver"
)

func TestTxOfNil(t *testing.T) {
	p := (&fake{}).open(t)
	_, err := p.Tx(Tx(nil))
	requireErr(t, err, driver.ErrInvalid)
}

// mockTx has no connection, as the mocks of tests.
type mockTx struct{ pgx.Tx }

func (mockTx) Conn() *pgx.Conn { return nil }

func TestTxOfMock(t *testing.T) {
	if !(pgxTx{mockTx{}}).guesses() {
		t.Error("it asks a connection that is not there for types")
	}
}
