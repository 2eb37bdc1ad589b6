package faults

import (
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/portmq/mq"
	"github.com/portmq/mq/internal/integration/server"
)

// unseen are operations whose effect picture does not show, and those that need
// more than one answer.
var unseen = []string{"ack one", "extend", "nack", "move", "receive heads", "receive a group"}

// TestAnswerLost: the server did what it was told, and the connection broke
// before it could say so. The caller learns that nobody knows, and nothing is
// done twice.
func TestAnswerLost(t *testing.T) {
	b := newBase(t)
	n := new(atomic.Int32)
	pictures := b.pictures()
	eachLibrary(t, func(t *testing.T, library string) {
		every(t, func(t *testing.T, op operation) {
			t.Parallel()
			if !op.reads && !slices.Contains(unseen, op.name) {
				b.of(t).answerLost(op, library, fmt.Sprintf("q%d", n.Add(1)), pictures[op.name])
			}
		})
	})
}

func (b *base) answerLost(op operation, library, name, want string) {
	b.Helper()
	q := b.stage(b.client(), name)
	if b.picture(q) == want {
		b.Fatal("it changes nothing that could be seen")
	}
	deaf := new(atomic.Bool)
	p, dsn := server.NewProxy(b, b.dsn)
	p.Answer = func(client io.Writer, server io.Reader) { _, _ = io.Copy(hush{client, deaf}, server) }
	far := b.open(with(dsn, "driver="+library, "poll_only=true", "pool_max_conns=1")).Queue(name)
	b.rehearse(op, far)
	_, err := far.Peek(b.Context(), mq.BrowseOptions{}) // a session that was idle would be pinged
	b.ok(err)
	deaf.Store(true)
	ended := make(chan error, 1)
	go func() { ended <- op.run(b.Context(), b, far) }()
	b.eventually("it is done", func() bool { return b.picture(q) == want })
	deaf.Store(false)
	p.Cut()
	b.is(<-ended, mq.ErrUnavailable, "the answer was lost")
	if after := b.picture(q); after != want {
		b.Errorf("it was done twice: %s, want %s", after, want)
	}
}

// hush passes on what the server says unless it is deaf.
type hush struct {
	io.Writer
	deaf *atomic.Bool
}

func (h hush) Write(b []byte) (int, error) {
	if h.deaf.Load() {
		return len(b), nil
	}
	return h.Writer.Write(b)
}

// rehearse makes a session of a client prepare the statements of op, since that
// takes answers, and puts the queue back.
func (b *base) rehearse(op operation, q *mq.Queue) {
	b.Helper()
	b.execf("CREATE TABLE %[1]s_q AS TABLE pgmq.q_%[1]s; CREATE TABLE %[1]s_a AS TABLE pgmq.a_%[1]s", q.Name())
	b.ok(stale(op.run(b.Context(), b, q)))
	b.execf(`TRUNCATE pgmq.q_%[1]s, pgmq.a_%[1]s; INSERT INTO pgmq.q_%[1]s OVERRIDING SYSTEM VALUE TABLE %[1]s_q; INSERT INTO pgmq.a_%[1]s TABLE %[1]s_a;
		DROP TABLE %[1]s_q, %[1]s_a`, q.Name())
}
