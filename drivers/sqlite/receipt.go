package sqlite

import (
	"strconv"
	"strings"

	"github.com/portmq/mq/driver"
)

// receipt names one lease of a message: its number in the queue, the read count, which
// each lease changes, the number of the lease, and the queue's mark. A power cut may undo
// the last leases, and then their read counts come again.
type receipt struct {
	number, reads, lease, mark int64
}

const receiptVersion = "s1:"

// encode returns "s1:number:reads:lease:mark:queue". The queue comes last, because it may
// hold colons.
func (r receipt) encode(queue string) driver.Receipt {
	b := make([]byte, 0, 64+len(queue))
	b = append(b, receiptVersion...)
	b = strconv.AppendInt(b, r.number, 10)
	b = strconv.AppendInt(append(b, ':'), r.reads, 10)
	b = strconv.AppendInt(append(b, ':'), r.lease, 10)
	b = strconv.AppendInt(append(b, ':'), r.mark, 36)
	b = append(append(b, ':'), queue...)
	return driver.Receipt(b)
}

// parseReceipt is strict: no two texts are one receipt. Whatever is wrong with a text
// shows when the receipt is written again.
func parseReceipt(queue string, text driver.Receipt) (r receipt, err error) {
	rest, _ := strings.CutPrefix(string(text), receiptVersion)
	number, rest, _ := strings.Cut(rest, ":")
	reads, rest, _ := strings.Cut(rest, ":")
	lease, rest, _ := strings.Cut(rest, ":")
	mark, _, _ := strings.Cut(rest, ":")
	r.number, _ = strconv.ParseInt(number, 10, 64)
	r.reads, _ = strconv.ParseInt(reads, 10, 64)
	r.lease, _ = strconv.ParseInt(lease, 10, 64)
	r.mark, _ = strconv.ParseInt(mark, 36, 64)
	if r.encode(queue) != text || r.number < 1 || r.number > maxNumber || r.reads < 1 || r.lease < 1 {
		return receipt{}, driver.ErrInvalidReceipt
	}
	return r, nil
}

// A message's id is its queue's, shifted, and its number in it.
const (
	numberBits = 40
	maxNumber  = 1<<numberBits - 1
)

func messageID(queue, number int64) int64 { return queue<<numberBits | number }

func numberOf(id int64) int64 { return id & maxNumber }

func formatID(id int64) string { return strconv.FormatInt(numberOf(id), 10) }

// parseID is strict: no two texts are one id.
func parseID(text string) (number int64, ok bool) {
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil && n > 0 && n <= maxNumber && strconv.FormatInt(n, 10) == text
}

// idList returns ids as a JSON array.
func idList(ids []int64) string {
	b := make([]byte, 0, 2+16*len(ids))
	b = append(b, '[')
	for i, id := range ids {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, id, 10)
	}
	return string(append(b, ']'))
}
