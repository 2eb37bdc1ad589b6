package suite_test

import (
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/internal/integration/checks"
	"github.com/portmq/mq/internal/integration/pgmq/layouts"
	"github.com/portmq/mq/internal/integration/server"
)

// The checks of all packages, by short names.
var (
	ok        = checks.OK
	wantError = checks.Error
	quiet     = checks.Quiet
)

func must[T any](v T, err error) func(testing.TB) T { return checks.Must(v, err) }

// rig is the queue of a layout, and a pool that does what other clients do.
type rig struct {
	*testing.T
	*mq.Queue
	db *sql.DB
}

// newRig makes an empty database, and what prepare makes in it.
func newRig(t *testing.T, prepare func(testing.TB, *sql.DB), params string) *rig {
	t.Helper()
	t.Parallel()
	dsn := server.Postgres(t).Database(t)
	if prepare != nil {
		prepare(t, pool(t, dsn))
	}
	return newRigAt(t, dsn, params)
}

func newRigAt(t *testing.T, dsn, params string) *rig {
	t.Helper()
	c := with(params)(t, dsn)
	t.Cleanup(func() { ok(t, c.Close()) })
	q := must(c.EnsureQueue(t.Context(), layouts.Queue, mq.QueueOptions{}))(t)
	return &rig{T: t, Queue: q, db: pool(t, dsn)}
}

// send sends one message.
func (r *rig) send(body string) (id string) {
	r.Helper()
	return must(r.Send(r.Context(), &mq.Message{Body: []byte(body)}))(r)
}

// take waits for a message, and checks that it is the only one.
func (r *rig) take(body string, reads int) *mq.Delivery {
	r.Helper()
	ds := must(r.Receive(r.Context(), mq.ReceiveOptions{Max: 10, Wait: time.Minute}))(r)
	if len(ds) != 1 || string(ds[0].Body) != body || ds[0].ReadCount != reads {
		r.Fatalf("received %v, want one message %s that was read %d times", ds, body, reads)
	}
	return ds[0]
}

// none checks that there is nothing to receive.
func (r *rig) none() {
	r.Helper()
	if ds := must(r.Receive(r.Context(), mq.ReceiveOptions{Max: 10}))(r); len(ds) > 0 {
		r.Fatalf("received %v, want nothing", ds)
	}
}

// ask runs SQL, and returns the one value of its answer.
func (r *rig) ask(query string, args ...any) string {
	r.Helper()
	var answer sql.NullString
	if err := r.db.QueryRowContext(r.Context(), query, args...).Scan(&answer); err != nil && !errors.Is(err, sql.ErrNoRows) {
		r.Fatalf("%s: %v", query, err)
	}
	return answer.String
}

// wants checks the answer to SQL.
func (r *rig) wants(want, query string, args ...any) {
	r.Helper()
	if got := r.ask(query, args...); got != want {
		r.Errorf("%s: got %q, want %q", query, got, want)
	}
}
