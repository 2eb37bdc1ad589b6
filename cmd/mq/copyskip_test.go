package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/mem"
)

// nameless has another id for a message each time, as RabbitMQ for one whose
// sender gave it none.
type nameless struct {
	*mem.Provider
	n int
}

func (p *nameless) Receive(ctx context.Context, queue string, r driver.ReceiveRequest) ([]driver.Delivery, error) {
	ds, err := p.Provider.Receive(ctx, queue, r)
	for i := range ds {
		p.n++
		ds[i].ID = fmt.Sprint("id", p.n)
	}
	return ds, err
}

// TestCopySkipNameless: messages that were refused are known again without an
// id, and twins are told apart.
func TestCopySkipNameless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &ferry{T: t}
		f.from = mq.New(&nameless{Provider: mem.New()}, mq.Config{})
		t.Cleanup(func() { f.check(f.from.Close()) })
		f.to = f.open("rabbitstub://")
		f.fill("orders", &mq.Message{Group: "g"}, &mq.Message{Group: "g"}, &mq.Message{Group: "h"}, &mq.Message{})
		a := &app{stdout: &f.stdout, stderr: &f.stderr, output: "json"}
		o := copying{queues: []string{"orders"}, batch: 10, idle: 5 * time.Second, visibility: time.Second, skip: true}
		ctx, cancel := context.WithTimeout(f.Context(), time.Hour)
		defer cancel()
		f.check(a.moveQueues(ctx, o, f.from, f.to))
		if want := `{"queue":"orders","moved":1,"skipped":3,"doubtful":0}` + "\n"; f.stdout.String() != want {
			t.Errorf("output %s", &f.stdout)
		}
		if n := len(f.drain(f.from, "orders")); n != 3 {
			t.Errorf("%d messages are left", n)
		}
	})
}

// strict refuses a batch as a whole for the sake of one message, and says of another
// one that it is gone, as a copy of rows does that finds it no more.
type strict struct{ *mem.Provider }

func (p strict) Caps() driver.Caps {
	caps := p.Provider.Caps()
	caps.AtomicSend = true
	return caps
}

func (p strict) Send(ctx context.Context, queue string, msgs []driver.Message) ([]string, error) {
	switch body := string(msgs[0].Body); {
	case len(msgs) > 1 || body == "bad":
		return nil, driver.ErrInvalid
	case body == "gone":
		return nil, driver.ErrMessageNotFound
	}
	return p.Provider.Send(ctx, queue, msgs)
}

// TestCopyGoneAmongRefused: that a message is gone says nothing of those after it,
// also if the batch goes item by item.
func TestCopyGoneAmongRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &ferry{T: t}
		f.from = f.open("mem://")
		f.to = mq.New(strict{mem.New()}, mq.Config{})
		t.Cleanup(func() { f.check(f.to.Close()) })
		ids := f.fill("orders", &mq.Message{Body: []byte("1")}, &mq.Message{Body: []byte("gone")}, &mq.Message{Body: []byte("bad")}, &mq.Message{Body: []byte("4")})
		m := &mover{app: &app{}, from: f.from.Queue("orders"), to: f.to.Queue("orders")}
		if _, err := f.to.EnsureQueue(f.Context(), "orders", mq.QueueOptions{}); err != nil {
			t.Fatal(err)
		}
		ds, err := m.from.Receive(f.Context(), mq.ReceiveOptions{Max: 10})
		if err != nil || len(ds) != len(ids) {
			t.Fatal(ds, err)
		}
		errs := m.send(f.Context(), ds)
		for i, want := range []error{nil, mq.ErrMessageNotFound, mq.ErrInvalid, nil} {
			if !errors.Is(errs[i], want) {
				t.Errorf("message %d: %v, want %v", i, errs[i], want)
			}
		}
	})
}

// TestCopyNamedDSN: env:NAME keeps passwords from the list of processes.
func TestCopyNamedDSN(t *testing.T) {
	inBubble(t, "mem://copy-a", "mem://copy-b", func(f *ferry) {
		f.fill("orders", numbered(3)...)
		run := func(args ...string) (int, string) {
			var stdout, stderr bytes.Buffer
			vars := map[string]string{"FROM": f.fromDSN, "TO": f.toDSN}
			a := &app{stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, getenv: func(name string) string { return vars[name] }}
			return a.run(f.Context(), args), stdout.String() + stderr.String()
		}
		if code, text := run("copy", "env:FROM", "env:TO", "-idle", "1s", "-o", "json"); code != exitOK || !strings.Contains(text, `"moved":3`) {
			t.Errorf("exit code %d, %s", code, text)
		}
		if code, text := run("-dsn", "env:TO", "ls"); code != exitOK || !strings.Contains(text, "orders") {
			t.Errorf("exit code %d, %s", code, text)
		}
		if code, text := run("copy", "env:NOPE", "env:TO"); code != exitUsage || !strings.Contains(text, `the environment has no DSN in "NOPE"`) {
			t.Errorf("exit code %d, %s", code, text)
		}
		if code, text := run("copy", "env:TO", f.toDSN); code != exitUsage || !strings.Contains(text, "both DSNs are the same") {
			t.Errorf("exit code %d, %s", code, text)
		}
	})
}
