package drivertest

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/portmq/mq"
)

var countCases = []testCase{
	{name: "receive/uncounted-waits", rule: "what a short wait did not hand out is not counted as read (rule 4)", run: receiveUncountedWaits},
	{name: "receive/uncounted-large", rule: "large messages that a Receive did not hand out are not counted as read (rule 4)", run: receiveUncountedLarge},
}

func receiveUncountedWaits(t *tester) {
	q := t.queue()
	const n = 60
	var received atomic.Int32
	var receivers sync.WaitGroup
	ctx, cancel := context.WithTimeout(t.ctx, t.patience)
	defer cancel()
	for i := range 3 {
		receivers.Go(func() {
			o := mq.ReceiveOptions{Max: min(1+3*i, t.caps.BatchLimit()), Visibility: t.long, Wait: time.Duration(1+i) * time.Millisecond}
			for received.Load() < n && ctx.Err() == nil {
				ds, err := q.Receive(t.ctx, o)
				if err != nil {
					t.Errorf("Receive: %v", err)
					return
				}
				received.Add(int32(len(ds)))
				for _, d := range ds {
					t.readOnce(d)
				}
			}
		})
	}
	for _, m := range numbered(n) {
		_, err := q.Send(t.ctx, m)
		t.ok(err, "Send")
	}
	receivers.Wait()
	if received.Load() != n {
		t.Errorf("received %d of %d messages", received.Load(), n)
	}
}

func receiveUncountedLarge(t *tester) {
	q := t.queue()
	const n = 24
	size := 256 << 10
	if t.caps.MaxBody > 0 {
		size = min(size, t.caps.MaxBody/2)
	}
	body := []byte(`"` + strings.Repeat("x", size) + `"`)
	for range n {
		_, err := q.Send(t.ctx, &mq.Message{Body: body})
		t.ok(err, "Send")
	}
	for got := 0; got < n; {
		ds, err := q.Receive(t.ctx, mq.ReceiveOptions{Max: min(5, t.caps.BatchLimit()), Visibility: t.long, Wait: t.patience})
		t.ok(err, "Receive")
		if len(ds) == 0 {
			t.Fatalf("received %d of %d messages", got, n)
		}
		for _, d := range ds {
			t.readOnce(d)
			t.ok(d.Ack(t.ctx), "Ack")
		}
		got += len(ds)
	}
}

// readOnce checks the read count of a message that nobody had before.
func (t *tester) readOnce(d *mq.Delivery) {
	if d.ReadCount > 1 { // 0: not every provider counts
		t.Errorf("a message that nobody had before was read %d times", d.ReadCount)
	}
}
