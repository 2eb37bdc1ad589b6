package pgmq

import (
	"strconv"
	"strings"

	"github.com/portmq/mq/driver"
)

// receipt names one lease of a message. A statement that acts on it matches
// what its fence says: read_ct changes with each lease, and enqueued_at tells
// the message from another that has its number in a queue made again.
type receipt struct {
	id     int64 // msg_id
	fence  fence
	reads  int32 // read_ct
	sentAt int64 // enqueued_at, in microseconds since the Unix epoch
}

// fence says what a row must match besides the id.
type fence int8

const (
	byLease fence = iota // read_ct and enqueued_at
	byReads              // read_ct; enqueued_at is infinite
	byNone               // nothing
)

const receiptVersion = "p1:"

// append appends "p1:id:reads:sentAt:queue", with "-" for what the fence leaves
// out. The queue comes last, because it may hold colons.
func (r receipt) append(b []byte, queue string) []byte {
	b = append(b, receiptVersion...)
	b = strconv.AppendInt(b, r.id, 10)
	b = appendFence(b, r.fence != byNone, int64(r.reads))
	b = appendFence(b, r.fence == byLease, r.sentAt)
	b = append(b, ':')
	return append(b, queue...)
}

func appendFence(b []byte, fenced bool, n int64) []byte {
	if !fenced {
		return append(b, ":-"...)
	}
	return strconv.AppendInt(append(b, ':'), n, 10)
}

func (r receipt) encode(queue string) driver.Receipt {
	return driver.Receipt(r.append(make([]byte, 0, 128), queue))
}

// parseReceipt is strict: no two texts are one receipt. Whatever is wrong with
// a text shows when the receipt is written again.
func parseReceipt(queue string, text driver.Receipt) (receipt, error) {
	rest, _ := strings.CutPrefix(string(text), receiptVersion)
	id, rest, _ := strings.Cut(rest, ":")
	reads, rest, _ := strings.Cut(rest, ":")
	sentAt, _, _ := strings.Cut(rest, ":")

	var r receipt
	r.id, _ = strconv.ParseInt(id, 10, 64)
	n, _ := strconv.ParseInt(reads, 10, 32)
	r.reads = int32(n)
	r.sentAt, _ = strconv.ParseInt(sentAt, 10, 64)
	switch {
	case reads == "-":
		r.fence = byNone
	case sentAt == "-":
		r.fence = byReads
	}
	again := r.append(make([]byte, 0, 128), queue)
	if string(again) != string(text) {
		return receipt{}, driver.ErrInvalidReceipt
	}
	return r, nil
}

// Unfenced returns a receipt for a message whatever its lease. It is for
// working together with programs that know messages by their id only, such as
// those that call pgmq.delete(queue, id).
//
// It lacks the protection of a receipt that came with a delivery: settling or
// extending with it acts on the message even if the lease is over and somebody
// else works on it, if nobody has leased it at all, or if the queue was dropped
// and made again and the id now names another message. It never expires, and
// any client of the database may use it. A message that is gone is
// [driver.ErrMessageNotFound].
//
// queue is the name of the queue in any spelling; upper case is folded as PGMQ
// does. id is the message's, in decimal, as in [driver.Delivery]. What is not
// an id makes a receipt that is answered with [driver.ErrInvalidReceipt].
func Unfenced(queue, id string) driver.Receipt {
	return driver.Receipt(receiptVersion + id + ":-:-:" + strings.ToLower(queue))
}
