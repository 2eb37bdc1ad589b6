package faults

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portmq/mq"
)

// unprintable are rows of other programs that PostgreSQL keeps and cannot print,
// as message and headers: a character that UTF-8 lacks. x81 is one of WIN1252.
var unprintable = map[string]string{
	"body":         `to_jsonb(chr(129)), NULL`,
	"header":       `'1', jsonb_build_object('k', chr(129))`,
	"header's key": `'1', jsonb_build_object(chr(129), 'v')`,
	"group":        `'1', jsonb_build_object('x-pgmq-group', chr(129))`,
	"both":         `to_jsonb(chr(129)), jsonb_build_object('k', chr(129))`,
}

// legacy returns a database whose encoding has characters that UTF-8 lacks.
func (b *base) legacy() *base {
	b.Helper()
	name := fmt.Sprintf("legacy%d", time.Now().UnixNano())
	b.exec("CREATE DATABASE " + name + " TEMPLATE template0 ENCODING 'WIN1252' LC_COLLATE 'C' LC_CTYPE 'C'")
	b.Cleanup(func() { _, _ = b.db.Exec("DROP DATABASE " + name + " WITH (FORCE)") })
	l := b.of(b.T)
	before, after, _ := strings.Cut(b.dsn, "?")
	l.dsn = before[:strings.LastIndex(before, "/")+1] + name + "?" + after
	l.db = l.pool("pgx", l.dsn)
	return l
}

// TestUnprintable: a row that cannot be printed, wherever it stands among the
// others, keeps none of them from any receiver, nor a page from being shown. A
// Consumer goes on.
func TestUnprintable(t *testing.T) {
	b := newBase(t).legacy()
	n := 0
	eachLibrary(t, func(t *testing.T, library string) {
		for name, columns := range unprintable {
			for kind, receive := range unprintableReceivers {
				for _, o := range []mq.QueueOptions{{}, indexedBy(mq.GroupBy{})} {
					if kind != "groups" && len(o.Drivers) > 0 {
						continue
					}
					t.Run(fmt.Sprint(name, " ", kind, " ", len(o.Drivers)), func(t *testing.T) {
						b := b.of(t)
						n++
						q, err := b.client("driver="+library).EnsureQueue(t.Context(), fmt.Sprintf("jobs%d", n), o)
						b.ok(err)
						b.post(q, 2)
						b.execf("INSERT INTO pgmq.q_%s (vt, message, headers) SELECT now(), %s", q.Name(), columns)
						b.post(q, 2)
						if got := receive(b, q); got != 4 {
							t.Errorf("%d come, want the 4 others", got)
						}
					})
				}
			}
		}
	})
}

// unprintableReceivers return how many messages they have received.
var unprintableReceivers = map[string]func(*base, *mq.Queue) int{
	"receive": func(b *base, q *mq.Queue) int { return len(b.take(q, 10)) },
	"groups": func(b *base, q *mq.Queue) (n int) {
		for range 8 { // all are one group, except those with another or none
			ds, err := q.ReceiveHeads(b.Context(), mq.ByGroup(), mq.ReceiveOptions{Max: 10, Visibility: time.Hour})
			b.ok(err)
			for _, d := range ds {
				b.ok(d.Ack(b.Context()))
				n++
			}
		}
		return n
	},
	"pop": func(b *base, q *mq.Queue) int {
		ds, err := q.Pop(b.Context(), 10)
		b.ok(err)
		left := value[int](b, "SELECT count(*) FROM pgmq.q_"+q.Name()) + value[int](b, "SELECT count(*) FROM pgmq.a_"+q.Name())
		if left != 1 {
			b.Errorf("%d messages are left, want the bad one", left)
		}
		return len(ds)
	},
	"peek": func(b *base, q *mq.Queue) int {
		page, err := q.Peek(b.Context(), mq.BrowseOptions{})
		b.ok(err)
		return len(page) - 1
	},
	"archived": func(b *base, q *mq.Queue) int {
		b.execf("INSERT INTO pgmq.a_%[1]s (msg_id, vt, message, headers) SELECT msg_id, vt, message, headers FROM pgmq.q_%[1]s", q.Name())
		page, err := q.Archived(b.Context(), mq.BrowseOptions{})
		b.ok(err)
		return len(page) - 1
	},
	"consumer": func(b *base, q *mq.Queue) int {
		ctx, stop := context.WithCancel(b.Context())
		var n atomic.Int32
		ended := make(chan error, 1)
		go func() {
			ended <- q.Consume(ctx, func(context.Context, *mq.Delivery) error {
				n.Add(1)
				return nil
			}, mq.ConsumerConfig{})
		}()
		b.eventually("all are handled", func() bool { return n.Load() == 4 || len(ended) > 0 })
		stop()
		b.ok(<-ended)
		return int(n.Load())
	},
}

// long is a body of a few bytes that prints as about two megabytes.
const long = "to_jsonb(array_fill(1e100000::numeric, ARRAY[20]))"

// printedReceivers receive up to a thousand messages.
var printedReceivers = map[string]func(*base, *mq.Queue) ([]*mq.Delivery, error){
	"receive": func(b *base, q *mq.Queue) ([]*mq.Delivery, error) {
		return q.Receive(b.Context(), mq.ReceiveOptions{Max: 1000, Visibility: time.Hour})
	},
	"pop": func(b *base, q *mq.Queue) ([]*mq.Delivery, error) { return q.Pop(b.Context(), 1000) },
	"groups": func(b *base, q *mq.Queue) ([]*mq.Delivery, error) {
		return q.ReceiveHeads(b.Context(), mq.ByGroup(), mq.ReceiveOptions{Max: 1000, Visibility: time.Hour})
	},
	"group": func(b *base, q *mq.Queue) ([]*mq.Delivery, error) {
		return q.ReceiveGroup(b.Context(), mq.ByGroup(), "g", mq.GroupOptions{ReceiveOptions: mq.ReceiveOptions{Max: 1000, Visibility: time.Hour}})
	},
}

// TestPrintedSize: a claim takes no more than there is room for, as it is printed,
// or one message, and the first one, which does not know, four times that. So it is
// where one message cannot be printed at all. All others come.
func TestPrintedSize(t *testing.T) {
	const room = 8 << 20
	b := newBase(t).legacy()
	eachLibrary(t, func(t *testing.T, library string) {
		for kind, receive := range printedReceivers {
			for _, worst := range []bool{false, true} {
				t.Run(fmt.Sprint(kind, " ", worst), func(t *testing.T) {
					t.Parallel()
					b := b.of(t)
					name := fmt.Sprintf("%s_%s_%t", library, kind, worst)
					q, err := b.client("driver="+library).EnsureQueue(t.Context(), name, indexedBy(mq.GroupBy{}))
					b.ok(err)
					group := "'g'"
					if kind == "groups" {
						group = "'g' || i"
					}
					want := 60
					b.execf("INSERT INTO pgmq.q_%s (vt, message, headers) SELECT now() - interval '1 minute', CASE WHEN i %% 3 = 0 THEN '1' ELSE %s END, jsonb_build_object('x-pgmq-group', %s) FROM generate_series(1, %d) i", name, long, group, want)
					if worst {
						b.execf("UPDATE pgmq.q_%s SET message = to_jsonb(chr(129)) WHERE msg_id = 5", name)
						want--
					}
					came := make(map[string]bool)
					most := 4 * room
					if kind == "pop" {
						most = room
					}
					for end := time.Now().Add(2 * patience); len(came) < want && time.Now().Before(end); most = room {
						ds, err := receive(b, q)
						b.ok(err)
						size, largest := 0, 0
						for _, d := range ds {
							size, largest = size+len(d.Body), max(largest, len(d.Body))
							came[d.ID] = true
							if kind != "pop" {
								b.ok(d.Ack(t.Context()))
							}
						}
						if size-largest > most {
							t.Fatalf("%d messages of %d bytes", len(ds), size)
						}
					}
					if len(came) != want {
						t.Errorf("%d messages came, want %d", len(came), want)
					}
				})
			}
		}
	})
}

// TestStoredSize: what is read after a blind claim is bounded by the size in the
// table, too, which may be several times the printed one. Nothing is left out for
// that, neither by a receiver nor by a page.
func TestStoredSize(t *testing.T) {
	b := newBase(t).legacy()
	eachLibrary(t, func(t *testing.T, library string) {
		b := b.of(t)
		q := b.queue(b.client("driver="+library), library)
		b.execf("ALTER TABLE pgmq.q_%s ALTER COLUMN message SET STORAGE EXTERNAL", library)
		const large = 1 << 20 // numbers, of 3 bytes printed and 12 or so stored
		b.execf("INSERT INTO pgmq.q_%s (vt, message) SELECT now(), to_jsonb(array_fill(1, ARRAY[%d]))", library, large)
		b.execf("INSERT INTO pgmq.q_%s (vt, message) SELECT now() - interval '1 minute', to_jsonb(chr(129))", library)
		b.execf("INSERT INTO pgmq.q_%s (vt, message) SELECT now() - interval '1 minute', '1'", library)
		if stored := value[int](b, "SELECT pg_column_size(message) FROM pgmq.q_"+library+" WHERE msg_id = 1"); stored < 8<<20 {
			t.Fatalf("the message takes %d bytes", stored)
		}
		page, err := q.Peek(t.Context(), mq.BrowseOptions{})
		b.ok(err)
		if len(page) != 3 || len(page[0].Body) < 3*large-2 || len(page[1].Body) > 0 || string(page[2].Body) != "1" {
			t.Errorf("a page of %d messages lacks a body", len(page))
		}
		if ds := b.take(q, 10); len(ds) != 2 || len(ds[0].Body) < 3*large-2 || string(ds[1].Body) != "1" {
			t.Errorf("%d messages come, want the 2 others", len(ds))
		}
	})
}
