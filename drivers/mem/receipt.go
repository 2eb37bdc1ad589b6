package mem

import (
	"strconv"
	"strings"

	"github.com/portmq/mq/driver"
)

// receipt is what a driver.Receipt says besides the name of the queue, behind
// which each number stands as a hyphen and 16 hexadecimal digits.
type receipt [4]uint64

// The numbers of a receipt.
const (
	ofStore = iota // store.nonce
	ofQueue        // queue.incarnation
	ofMessage
	ofLease
)

const (
	numberSize  = 1 + 16
	numbersSize = len(receipt{}) * numberSize
)

// append appends the text of r.
func (r receipt) append(b []byte, queue string) []byte {
	b = append(b, queue...)
	for _, n := range r {
		b = append(b, '-')
		for shift := 60; shift >= 0; shift -= 4 {
			b = append(b, "0123456789abcdef"[n>>shift&15])
		}
	}
	return b
}

// parse returns the zero receipt, which nothing has, for what is not valid.
func parse(queue string, text driver.Receipt) receipt {
	if r, ok := parseReceipt(queue, text); ok {
		return r
	}
	return receipt{}
}

// parseReceipt is strict: no two texts are one receipt.
func parseReceipt(queue string, text driver.Receipt) (r receipt, ok bool) {
	numbers, ok := strings.CutPrefix(string(text), queue)
	if !ok || len(numbers) != numbersSize {
		return r, false
	}
	for i := range r {
		if r[i], ok = parseNumber(numbers[i*numberSize:][:numberSize]); !ok {
			return r, false
		}
	}
	return r, r[ofLease] != 0
}

func parseNumber(s string) (n uint64, ok bool) {
	if s[0] != '-' {
		return 0, false
	}
	for _, c := range []byte(s[1:]) {
		switch {
		case c >= '0' && c <= '9':
			n = n<<4 | uint64(c-'0')
		case c >= 'a' && c <= 'f':
			n = n<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return n, true
}

// names returns the texts of an id and of the receipt for one of its leases.
// They are parts of one string, to have one allocation.
func (q *queue) names(id, lease uint64) (string, driver.Receipt) {
	b := make([]byte, 0, 512)
	b = receipt{q.store.nonce, q.incarnation, id, lease}.append(b, q.name)
	n := len(b)
	s := string(strconv.AppendUint(b, id, 10))
	return s[n:], driver.Receipt(s[:n])
}

// find returns the message that r has leased, unless it was leased again. It
// takes a parsed receipt, so that the parsing is not done under the lock.
func (q *queue) find(got receipt) (*message, error) {
	switch {
	case got[ofLease] == 0:
		return nil, driver.ErrInvalidReceipt
	case got[ofStore] != q.store.nonce, got[ofQueue] != q.incarnation:
		return nil, driver.ErrStaleReceipt
	}
	m, ok := q.messages.get(got[ofMessage])
	switch {
	case !ok:
		return nil, driver.ErrMessageNotFound
	case got[ofLease] != m.lease:
		return nil, driver.ErrStaleReceipt
	}
	return m, nil
}
