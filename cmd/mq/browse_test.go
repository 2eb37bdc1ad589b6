package main

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

// TestPager: pages grow as long as they are small.
func TestPager(t *testing.T) {
	var p pager
	var got []int
	for _, size := range []int{1000, 1000, 1000, pageBytes / 2, pageBytes / 2, 10 * pageBytes, 1000} {
		n := p.limit(200)
		got = append(got, n)
		p.got(n, n*size)
	}
	if want := []int{8, 32, 128, 200, 2, 2, 1}; !slices.Equal(got, want) {
		t.Errorf("pages of %v, want %v", got, want)
	}
}

// TestLargeMessages: no command asks for many large messages at once, nor keeps
// them.
func TestLargeMessages(t *testing.T) {
	const n, size = 24, 1 << 20
	for _, line := range []string{
		"peek w -n 100", "peek w -n 100 -o json", "tail w -n 100", "receive w -n 100 -visibility 1h", "receive w -n 100 -pop",
		"archive ls w -n 100", "archive redrive w -all -reason x",
	} {
		t.Run(line, func(t *testing.T) {
			d := newDesk(t, "mem")
			d.send(slices.Repeat([]mq.Message{text(`"` + strings.Repeat("x", size) + `"`)}, n)...)
			if strings.HasPrefix(line, "archive") {
				d.stdin = strings.Join(d.receipts("100"), "\n")
				d.must("archive", "-", "-reason", "x")
			}
			w := &weigher{}
			d.dsn = w.register(t, d)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			a, stdout, stderr := d.app()
			if strings.HasPrefix(line, "tail") {
				w.idle = cancel
			}
			if code := a.run(ctx, strings.Fields(line)); code != exitOK {
				t.Errorf("exit code %d, %s", code, stderr)
			}
			if got := strings.Count(stdout.String(), "xxx"); got < n && !strings.Contains(stdout.String(), "redriven 24") {
				t.Errorf("it shows %d messages:\n%.200s", got, stdout)
			}
			if w.most > 10*size {
				t.Errorf("one answer has %d MiB", w.most>>20)
			}
		})
	}
}

// weigher takes note of the largest answer.
type weigher struct {
	driver.Provider
	mu   sync.Mutex
	most int
	ends int
	idle func() // called when there was nothing more
}

var weighers sync.Map

type weigherDriver struct{}

func init() { mq.Register("weighed", weigherDriver{}) }

func (weigherDriver) Open(dsn string, _ driver.Env) (driver.Provider, error) {
	w, _ := weighers.Load(dsn)
	return w.(driver.Provider), nil
}

func (w *weigher) register(t *testing.T, d *desk) (dsn string) {
	c, err := mq.Open(d.dsn)
	if err != nil {
		t.Fatal(err)
	}
	w.Provider = c.Provider()
	dsn = "weighed://" + strings.TrimPrefix(d.dsn, "mem://")
	weighers.Store(dsn, w)
	t.Cleanup(func() { weighers.Delete(dsn) })
	return dsn
}

func (w *weigher) note(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.most = max(w.most, n)
	if n == 0 && w.idle != nil {
		if w.ends++; w.ends == 2 { // it has read through the queue, and looked again
			w.idle()
		}
	}
}

func (w *weigher) Browse(ctx context.Context, queue string, r driver.BrowseRequest) ([]driver.Record, error) {
	rs, err := w.Provider.(driver.Browser).Browse(ctx, queue, r)
	n := 0
	for _, r := range rs {
		n += len(r.Body)
	}
	w.note(n)
	return rs, err
}

func (w *weigher) Receive(ctx context.Context, queue string, r driver.ReceiveRequest) ([]driver.Delivery, error) {
	ds, err := w.Provider.Receive(ctx, queue, r)
	w.note(bytesOf(ds))
	return ds, err
}

func (w *weigher) Pop(ctx context.Context, queue string, limit int) ([]driver.Delivery, error) {
	ds, err := w.Provider.(driver.Popper).Pop(ctx, queue, limit)
	w.note(bytesOf(ds))
	return ds, err
}

func (w *weigher) Redrive(ctx context.Context, queue string, ids []string, limit int) (int64, error) {
	return w.Provider.(driver.Archivist).Redrive(ctx, queue, ids, limit)
}

func (w *weigher) PurgeArchive(context.Context, string, time.Duration) (int64, error) {
	panic("not called")
}

func bytesOf(ds []driver.Delivery) (n int) {
	for _, d := range ds {
		n += len(d.Body)
	}
	return n
}
