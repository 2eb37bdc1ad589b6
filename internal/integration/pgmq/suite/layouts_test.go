package suite_test

import (
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/internal/integration/pgmq/layouts"
)

// TestLayouts takes messages through their lives in every form of a queue that
// others make.
func TestLayouts(t *testing.T) {
	for _, l := range layouts.All {
		for _, params := range []string{"driver=pgx", "driver=pq", "order=id", "body=bytes"} {
			t.Run(l.Name+"/"+params, func(t *testing.T) {
				r := newRig(t, l.Make, params)
				r.settles()
				r.archives(l.Headers)
				r.looks()
				r.attributes(l.Headers)
				r.attempts(l.Headers)
				r.topics(l)
				if params != "body=bytes" {
					r.groups()
				}
				r.ends()
			})
		}
	}
}

// topics publishes to the queue, which needs a row in pgmq.meta for that.
func (r *rig) topics(l layouts.Layout) {
	err := r.Bind(r.Context(), "a.*")
	if l.Name == "pgmq-ts" {
		wantError(r, err, mq.ErrQueueNotFound)
		return
	}
	ok(r, err)
	headers := &mq.Message{Body: []byte("1"), Headers: mq.Headers{"k": "v"}}
	if !l.Headers {
		_, err := r.Client().Publish(r.Context(), "a.b", headers)
		wantError(r, err, mq.ErrNotSupported)
		headers.Headers = nil
	}
	for range 2 {
		out := must(r.Client().Publish(r.Context(), "a.b", headers))(r)
		if d := r.take("1", 1); len(out) != 1 || out[0].Queue != r.Name() || out[0].IDs[0] != d.ID || d.Headers["k"] != headers.Headers["k"] {
			r.Errorf("published %v, received %v with %v", out, d, d.Headers)
		} else {
			ok(r, d.Ack(r.Context()))
		}
	}
	ok(r, r.Unbind(r.Context(), "a.*"))
}

func (r *rig) settles() {
	r.send(`"a"`)
	first := r.take(`"a"`, 1)
	r.none()
	ok(r, first.Extend(r.Context(), time.Minute))
	ok(r, first.Nack(r.Context(), 0))
	second := r.take(`"a"`, 2)
	wantError(r, r.Settle(r.Context(), mq.Settlement{Receipt: first.Receipt, Op: mq.OpAck}), mq.ErrStaleReceipt)
	ok(r, second.Ack(r.Context()))
	wantError(r, r.Settle(r.Context(), mq.Settlement{Receipt: second.Receipt, Op: mq.OpAck}), mq.ErrMessageNotFound)
	r.none()
}

// attempts: where there are no headers every lease is one, and none is known to be
// unanswered.
func (r *rig) attempts(headers bool) {
	r.send(`"a"`)
	uncounted := 0
	for n := 1; n <= 3; n++ {
		d := r.take(`"a"`, n)
		if want := max(1, n-uncounted); d.Attempt != want || d.Unanswered != 0 {
			r.Errorf("read %d is attempt %d with %d unanswered, want attempt %d and none", n, d.Attempt, d.Unanswered, want)
		}
		if d.Headers["mq-error"] != "" != (headers && n > 1) {
			r.Errorf("read %d has headers %v", n, d.Headers)
		}
		ok(r, r.Settle(r.Context(), mq.Settlement{Receipt: d.Receipt, Op: mq.OpNack, Uncounted: true, Reason: "EOF"}))
		if headers {
			uncounted++
		}
	}
	ok(r, r.take(`"a"`, 4).Ack(r.Context()))
}

func (r *rig) archives(headers bool) {
	id := r.send(`"a"`)
	ok(r, r.take(`"a"`, 1).Archive(r.Context(), "why"))
	rs := must(r.Archived(r.Context(), mq.BrowseOptions{}))(r)
	if len(rs) != 1 || rs[0].ID != id || string(rs[0].Body) != `"a"` || rs[0].ReadCount != 1 || rs[0].ArchivedAt.IsZero() {
		r.Fatalf("archived %+v", rs)
	}
	if headers && rs[0].Reason() != "why" {
		r.Errorf("archived with headers %v", rs[0].Headers)
	}
	if n := must(r.Redrive(r.Context(), mq.RedriveOptions{}))(r); n != 1 {
		r.Errorf("redrove %d", n)
	}
	ok(r, r.take(`"a"`, 1).Archive(r.Context(), "again"))
	if n := must(r.PurgeArchive(r.Context(), mq.AnyAge))(r); n != 1 {
		r.Errorf("purged %d of the archive", n)
	}
}

func (r *rig) looks() {
	for _, body := range []string{"1", "2", "3"} {
		r.send(body)
	}
	if ds := must(r.Receive(r.Context(), mq.ReceiveOptions{}))(r); len(ds) != 1 {
		r.Errorf("received %v", ds)
	}
	if ds := must(r.Pop(r.Context(), 1))(r); len(ds) != 1 || string(ds[0].Body) != "2" {
		r.Errorf("popped %v", ds)
	}
	if rs := must(r.Peek(r.Context(), mq.BrowseOptions{}))(r); len(rs) != 2 || string(rs[1].Body) != "3" {
		r.Errorf("peeked %+v", rs)
	}
	s := must(r.Stats(r.Context()))(r)
	if s.Total != 2 || s.Visible != 1 || s.Leased != 1 || s.Archived != 0 || s.Approximate {
		r.Errorf("stats are %+v", s)
	}
	if n := must(r.Purge(r.Context()))(r); n != 2 {
		r.Errorf("purged %d", n)
	}
}

// attributes checks that headers and groups work where there is a column for
// them, and are refused where there is none.
func (r *rig) attributes(there bool) {
	headers, group := mq.Headers{"k": "v"}, mq.GroupBy{}
	_, err := r.Send(r.Context(), &mq.Message{Headers: headers, Group: "g"})
	if !there {
		wantError(r, err, mq.ErrNotSupported)
		_, err = r.ReceiveHeads(r.Context(), &group, mq.ReceiveOptions{})
		wantError(r, err, mq.ErrNotSupported)
		r.none()
		return
	}
	ok(r, err)
	ds := must(r.ReceiveHeads(r.Context(), &group, mq.ReceiveOptions{}))(r)
	if len(ds) != 1 || ds[0].Group != "g" || ds[0].Headers["k"] != "v" {
		r.Fatalf("received %+v", ds)
	}
	ok(r, ds[0].Ack(r.Context()))
}

// groups receives by a value in the bodies, as pgmq-ts does.
func (r *rig) groups() {
	by, o := mq.GroupBy{Path: []string{"pr", "id"}}, mq.ReceiveOptions{Max: 10}
	for _, body := range []string{`{"pr": {"id": 1}}`, `{"pr": {"id": "1"}}`, `{"pr": {"id": 2}}`} {
		r.send(body)
	}
	heads := must(r.ReceiveHeads(r.Context(), &by, o))(r)
	if len(heads) != 2 || heads[0].GroupKey != "1" || heads[1].GroupKey != "2" {
		r.Fatalf("received %+v", heads)
	}
	rest := must(r.ReceiveGroup(r.Context(), &by, "1", mq.GroupOptions{ReceiveOptions: o, Holding: []mq.Receipt{heads[0].Receipt}}))(r)
	if len(rest) != 1 {
		r.Fatalf("received %+v", rest)
	}
	for _, d := range append(heads, rest...) {
		ok(r, d.Ack(r.Context()))
	}
}

func (r *rig) ends() {
	if names := must(r.Client().Queues(r.Context()))(r); len(names) != 1 || names[0] != r.Name() {
		r.Errorf("queues are %q", names)
	}
	ok(r, r.Client().DropQueue(r.Context(), r.Name()))
	r.wants("", "SELECT string_agg(relname, ',') FROM pg_class WHERE relname ~ '^[qa]_jobs'")
	if r.ask("SELECT to_regclass('pgmq.meta')") != "" {
		r.wants("0", "SELECT count(*) FROM pgmq.meta")
	}
	_, err := r.Receive(r.Context(), mq.ReceiveOptions{})
	wantError(r, err, mq.ErrQueueNotFound)
}
