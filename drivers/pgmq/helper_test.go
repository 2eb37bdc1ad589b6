package pgmq

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
)

// values are the arguments of a statement, or a row.
type values = []sqldriver.Value

// layout is what the catalog says of a queue.
type layout struct {
	queue, archive string // columns; no archive if ""
	indexes        string
	notifies       bool
}

// The layouts that are in use. The names are of versions of PGMQ.
var (
	layout14 = layout{
		queue:   "msg_id,read_ct,enqueued_at,vt,message",
		archive: "msg_id,read_ct,enqueued_at,archived_at,vt,message",
		indexes: "q_jobs_pkey,q_jobs_vt_idx",
	}
	layout15 = layout{
		queue:   "msg_id,read_ct,enqueued_at,vt,message,headers",
		archive: "msg_id,read_ct,enqueued_at,archived_at,vt,message,headers",
		indexes: "q_jobs_pkey,q_jobs_vt_idx",
	}
	layout113 = layout{
		queue:    "msg_id,read_ct,enqueued_at,last_read_at,vt,message,headers",
		archive:  "msg_id,read_ct,enqueued_at,last_read_at,archived_at,vt,message,headers",
		indexes:  "q_jobs_pkey,q_jobs_vt_idx",
		notifies: true,
	}
	layoutUpgraded = layout{
		queue:   "msg_id,read_ct,enqueued_at,vt,message,headers,last_read_at",
		archive: "msg_id,read_ct,enqueued_at,archived_at,vt,message,headers,last_read_at",
		indexes: "q_jobs_vt_idx,q_jobs_pkey",
	}
	layoutHalf  = layout{queue: layout113.queue, archive: layout14.archive, indexes: layout113.indexes}
	layoutTS    = layout{queue: layout14.queue, archive: layout14.archive, indexes: "q_jobs_pkey"}
	layoutAlone = layout{queue: layout113.queue, indexes: "q_jobs_pkey"}
)

// row is the answer to the statement "shape".
func (l layout) row() values {
	row := values{l.queue, nil, nil, l.notifies, l.archive != "", false, true}
	if l.archive != "" {
		row[1] = l.archive
	}
	if l.indexes != "" {
		row[2] = l.indexes
	}
	return row
}

func (l layout) shape() (s shape) {
	s.columns(strings.Split(l.queue, ","), strings.Split(l.archive, ","))
	s.indexes, s.notifies, s.UniqueArchive = strings.Split(l.indexes, ","), l.notifies, l.archive != ""
	return s
}

// indexed is l with the indexes of a grouping of queue jobs.
func (l layout) indexed(by driver.GroupBy) layout {
	group, lease := groupIndexes("jobs", by)
	l.indexes += "," + group + "," + lease
	return l
}

func (l layout) names(queue string) tableNames { return namesOf(queue, l.shape(), "vt") }
func (l layout) texts(queue string) texts      { return textsOf(l.names(queue)) }

var jobs = layout113.texts("jobs")

// chain returns the texts of an error's causes, which it does not show itself.
func chain(err error) string {
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return chain(e.Unwrap())
	case interface{ Unwrap() []error }:
		var texts []string
		for _, err := range e.Unwrap() {
			texts = append(texts, chain(err))
		}
		return strings.Join(texts, "; ")
	}
	text := fmt.Sprint(err)
	return text[:min(len(text), 500)]
}

func requireErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error is %v (%s), want %v", err, chain(err), want)
	}
}

// requireItems checks the errors of a batch, one for each item.
func requireItems(t testing.TB, err error, want ...error) {
	t.Helper()
	var batch *driver.BatchError
	if !errors.As(err, &batch) {
		t.Fatalf("error is %v (%s), want a BatchError", err, chain(err))
	}
	if len(batch.Errs) != len(want) {
		t.Fatalf("%d errors, want %d", len(batch.Errs), len(want))
	}
	for i, got := range batch.Errs {
		// ErrMessageNotFound is ErrStaleReceipt as well.
		if !errors.Is(got, want[i]) || want[i] == driver.ErrStaleReceipt && errors.Is(got, driver.ErrMessageNotFound) {
			t.Errorf("item %d: error is %v, want %v", i, got, want[i])
		}
	}
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// A message as the database shows it.
var (
	sentAt = time.UnixMicro(1_700_000_000_123_456).UTC()
	dueAt  = sentAt.Add(time.Minute)
)

// leased is a row of {{template "delivery"}}.
func leased(id int64, more ...sqldriver.Value) values {
	return append(values{id, int64(2), sentAt, dueAt, []byte(`{"a":1}`), []byte(`{"k":"v","x-pgmq-group":"g"}`)}, more...)
}

// paged makes it a row of {{template "record"}}.
func paged(row values) values { return append(row, int64(driver.StateVisible), nil, nil) }

// lease is the receipt of such a row.
func lease(id int64) driver.Receipt {
	return receipt{id: id, reads: 2, sentAt: sentAt.UnixMicro()}.encode("jobs")
}

func ack(r driver.Receipt) driver.Settlement {
	return driver.Settlement{Receipt: r, Op: driver.OpAck}
}

func nack(r driver.Receipt, d time.Duration) driver.Settlement {
	return driver.Settlement{Receipt: r, Op: driver.OpNack, Delay: d}
}

func archived(r driver.Receipt, reason string) driver.Settlement {
	return driver.Settlement{Receipt: r, Op: driver.OpArchive, Reason: reason}
}

func moved(r driver.Receipt, to, reason string) driver.Settlement {
	return driver.Settlement{Receipt: r, Op: driver.OpMove, To: to, Reason: reason}
}
