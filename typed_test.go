package mq_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
)

// celsius has an encoding of its own, on the pointer.
type celsius struct{ degrees int }

func (c *celsius) MarshalMQ() ([]byte, error) { return fmt.Appendf(nil, "%dC", c.degrees), nil }

func (c *celsius) UnmarshalMQ(data []byte) error {
	_, err := fmt.Sscanf(string(data), "%dC", &c.degrees)
	return err
}

func roundTrip[T comparable](t *testing.T, c *mq.Client, v T, body string) {
	t.Helper()
	q := mq.Of[T](queue(c, "q"))
	id, err := q.Send(t.Context(), v)
	if err != nil || id == "" {
		t.Fatalf("Send = %q, %v", id, err)
	}
	ds, err := q.Receive(t.Context(), mq.ReceiveOptions{})
	if err != nil || len(ds) != 1 || string(ds[0].Body) != body {
		t.Fatalf("Receive = %v, %v", ds, err)
	}
	if got, err := ds[0].Value(); got != v || err != nil {
		t.Errorf("value = %v, %v, want %v", got, err, v)
	}
	if err := ds[0].Ack(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestTypedRoundTrip(t *testing.T) {
	c := open()
	defer c.Close()
	roundTrip(t, c, Order{1, "visa"}, `{"id":1,"card":"visa"}`)
	roundTrip(t, c, "text", `"text"`)
	roundTrip(t, c, 42, `42`)
	roundTrip(t, c, celsius{21}, `21C`)

	warm := mq.Of[*celsius](queue(c, "q"))
	if _, err := warm.Send(t.Context(), &celsius{30}); err != nil {
		t.Fatal(err)
	}
	ds, err := warm.Receive(t.Context(), mq.ReceiveOptions{})
	if err != nil || len(ds) != 1 {
		t.Fatalf("Receive = %+v, %v", ds, err)
	}
	if v, err := ds[0].Value(); v == nil || v.degrees != 30 || err != nil {
		t.Errorf("value = %+v, %v", v, err)
	}
}

func TestTypedSendRefusesWhatDoesNotEncode(t *testing.T) {
	c := open()
	defer c.Close()
	q := mq.Of[any](queue(c, "q"))
	if _, err := q.Send(t.Context(), func() {}); err == nil || !strings.HasPrefix(err.Error(), `mq: encode "q": payload of type func()`) {
		t.Errorf("Send = %v", err)
	}
	if _, err := q.SendAll(t.Context(), []any{1, func() {}}); err == nil {
		t.Error("SendAll accepted a function")
	}
	if s, _ := q.Queue().Stats(t.Context()); s.Total != 0 {
		t.Errorf("%d messages were sent", s.Total)
	}
}

// sendMixed sends good, undecodable, good.
func sendMixed(t *testing.T, q *mq.Queue) {
	t.Helper()
	for _, body := range []string{`{"id":1}`, `{"id":`, `{"id":3}`} {
		if _, err := q.Send(t.Context(), &mq.Message{Body: []byte(body)}); err != nil {
			t.Fatal(err)
		}
	}
}

func requireOneDeadLetter(t *testing.T, q *mq.Queue) {
	t.Helper()
	dead, err := q.Archived(t.Context(), mq.BrowseOptions{})
	if err != nil || len(dead) != 1 || string(dead[0].Body) != `{"id":` {
		t.Fatalf("archive = %v, %v", dead, err)
	}
	if want := "payload does not decode into mq_test.Order: unexpected end of JSON input"; dead[0].Reason() != want {
		t.Errorf("reason = %q, want %q", dead[0].Reason(), want)
	}
}

// values returns the IDs of the orders that decode, and how many do not. It acks all.
func values(t *testing.T, ds []mq.TypedDelivery[Order]) (ids []int, bad int) {
	t.Helper()
	for _, d := range ds {
		o, err := d.Value()
		switch decode := (*mq.DecodeError)(nil); {
		case err == nil:
			ids = append(ids, o.ID)
		case errors.As(err, &decode):
			bad++
		default:
			t.Errorf("Value = %v", err)
		}
		if err := d.Ack(t.Context()); err != nil {
			t.Error(err)
		}
	}
	return ids, bad
}

func TestUndecodable(t *testing.T) {
	t.Run("receive", func(t *testing.T) {
		c := open()
		defer c.Close()
		q := mq.Of[Order](queue(c, "q"))
		sendMixed(t, q.Queue())
		ds, err := q.Receive(t.Context(), mq.ReceiveOptions{Max: 10})
		if ids, bad := values(t, ds); err != nil || fmt.Sprint(ids) != "[1 3]" || bad != 1 {
			t.Errorf("Receive = %v, %v: %d do not decode", ids, err, bad)
		}
	})
	t.Run("messages", func(t *testing.T) {
		c := open()
		defer c.Close()
		q := mq.Of[Order](queue(c, "q"))
		sendMixed(t, q.Queue())
		var ds []mq.TypedDelivery[Order]
		for d, err := range q.Messages(t.Context(), mq.ReceiveOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			ds = append(ds, d)
		}
		if ids, bad := values(t, ds); fmt.Sprint(ids) != "[1 3]" || bad != 1 {
			t.Errorf("got %v, %d do not decode", ids, bad)
		}
	})
	t.Run("consume", func(t *testing.T) {
		c := open()
		defer c.Close()
		q := mq.Of[Order](queue(c, "q"))
		sendMixed(t, q.Queue())
		ctx, cancel := context.WithCancel(t.Context())
		err := q.Consume(ctx, func(_ context.Context, o Order) error {
			if o.ID == 3 {
				cancel()
			}
			return nil
		}, mq.ConsumerConfig{Concurrency: 1})
		if err != nil {
			t.Error(err)
		}
		requireOneDeadLetter(t, q.Queue())
	})
}

func TestTypedMessagesPassesErrorsOn(t *testing.T) {
	c := open()
	defer c.Close()
	var last error
	for _, err := range mq.Of[Order](c.Queue("nosuch")).Messages(t.Context(), mq.ReceiveOptions{}) {
		last = err
	}
	if !errors.Is(last, mq.ErrQueueNotFound) {
		t.Errorf("error = %v", last)
	}
	q := mq.Of[Order](queue(c, "q"))
	sendMixed(t, q.Queue())
	for _, err := range q.Messages(t.Context(), mq.ReceiveOptions{}) {
		if err != nil {
			t.Error(err)
		}
		break
	}
	if s, _ := q.Queue().Stats(t.Context()); s.Visible != 2 || s.Leased != 1 {
		t.Errorf("stats after break = %+v", s)
	}
}

func TestMessagesKeepsLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open()
		defer c.Close()
		q := queue(c, "q")
		for range 3 {
			if _, err := q.Send(t.Context(), new(mq.Message)); err != nil {
				t.Fatal(err)
			}
		}
		n := 0
		for d, err := range q.Messages(t.Context(), mq.ReceiveOptions{Visibility: 30 * time.Second}) {
			if err != nil {
				t.Fatal(err)
			}
			n++
			time.Sleep(5 * time.Minute)
			if d.ReadCount != 1 {
				t.Errorf("message %s came %d times", d.ID, d.ReadCount)
			}
			if err := d.Ack(t.Context()); err != nil {
				t.Errorf("ack %d: %v", n, err)
			}
		}
		if n != 3 {
			t.Errorf("%d messages", n)
		}
	})
}

func TestMessagesEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open()
		q := queue(c, "q")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		end := func(ctx context.Context, o mq.ReceiveOptions) (took time.Duration, last error) {
			start := time.Now()
			for _, err := range q.Messages(ctx, o) {
				last = err
			}
			return time.Since(start), last
		}
		if took, err := end(t.Context(), mq.ReceiveOptions{Wait: time.Second}); err != nil || took != time.Second {
			t.Errorf("empty queue: %v after %v", err, took)
		}
		if took, err := end(ctx, mq.ReceiveOptions{Wait: mq.Forever}); !errors.Is(err, context.DeadlineExceeded) || took != 59*time.Second {
			t.Errorf("ctx: %v after %v", err, took)
		}
		if _, err := end(t.Context(), mq.ReceiveOptions{Max: -1}); !errors.Is(err, mq.ErrInvalid) {
			t.Errorf("bad options: %v", err)
		}
		go func() { time.Sleep(time.Hour); _ = c.Close() }()
		if took, err := end(t.Context(), mq.ReceiveOptions{Wait: mq.Forever}); !errors.Is(err, mq.ErrClosed) || took != time.Hour {
			t.Errorf("close: %v after %v", err, took)
		}
		synctest.Wait()
		if _, err := end(t.Context(), mq.ReceiveOptions{}); !errors.Is(err, mq.ErrClosed) {
			t.Errorf("after close: %v", err)
		}
	})
}
