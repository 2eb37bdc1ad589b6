package work

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/internal/chaos/ledger"
)

// ensure makes the queues.
func (w *worker) ensure() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, name := range queues(w.features) {
		if _, err := w.EnsureQueue(ctx, name, mq.QueueOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// left returns how many messages are in the queues, as far as the backend can tell.
func (w *worker) left(ctx context.Context) (string, error) {
	n, text := int64(0), ""
	for _, name := range queues(w.features) {
		s, err := w.Queue(name).Stats(ctx)
		if err != nil {
			return "", err
		}
		if s.Total < 0 {
			s.Total = max(0, s.Visible)
		}
		if n += s.Total; s.Total > 0 {
			text += fmt.Sprintf(" %s:%d", name, s.Total)
		}
	}
	return strconv.FormatInt(n, 10) + text, nil
}

// drop drops the volatile queue, and makes it again.
func (w *worker) drop(ctx context.Context) error {
	w.Write(ledger.Record{Kind: ledger.DropBegin, Queue: Volatile})
	err := w.DropQueue(ctx, Volatile)
	if err == nil {
		_, err = w.EnsureQueue(ctx, Volatile, mq.QueueOptions{})
	}
	w.Write(ledger.Record{Kind: ledger.Dropped, Queue: Volatile, Note: note(err)})
	return err
}

// final writes down what is in the queues and in their archives.
func (w *worker) final(ctx context.Context) error {
	look := w.drain
	if w.browse {
		look = w.peek
	}
	for _, name := range queues(w.features) {
		if err := look(ctx, name, ledger.Queued); err != nil {
			return err
		}
		if err := look(ctx, name, ledger.Archived); err != nil {
			return err
		}
	}
	return nil
}

// there writes down a message that is there.
func (w *worker) there(queue string, kind ledger.Kind, id string, m *mq.Message) {
	rec, wrong := identify(queue, m)
	rec.Kind, rec.ID = kind, id
	w.Write(rec)
	if wrong != "" {
		rec.Kind, rec.Note = ledger.Corrupt, wrong
		w.Write(rec)
	}
}

func (w *worker) peek(ctx context.Context, name string, kind ledger.Kind) error {
	page := w.Queue(name).Peek
	if kind == ledger.Archived {
		page = w.Queue(name).Archived
	}
	for after := ""; ; {
		rs, err := page(ctx, mq.BrowseOptions{After: after, Limit: 500})
		if err != nil || len(rs) == 0 {
			return err
		}
		for i := range rs {
			w.there(name, kind, rs[i].ID, &rs[i].Message)
		}
		after = rs[len(rs)-1].ID
	}
}

// drain is peek where a backend shows nothing: it takes the messages. A broker that has
// just come back may refuse that for a while.
func (w *worker) drain(ctx context.Context, name string, kind ledger.Kind) error {
	q := w.Queue(name)
	if kind == ledger.Archived {
		q = w.Queue(name + ".archive") // as package rabbitmq calls it
	}
	for refused := 0; ; {
		ds, err := q.Receive(ctx, mq.ReceiveOptions{Max: 100, Wait: 2 * time.Second})
		switch {
		case err != nil && refused < 20:
			refused++
			sleep(ctx, time.Second)
		case err != nil || len(ds) == 0:
			return err
		}
		for _, d := range ds {
			w.there(name, kind, d.ID, &d.Message)
			if err := d.Ack(ctx); err != nil {
				return err
			}
		}
	}
}
