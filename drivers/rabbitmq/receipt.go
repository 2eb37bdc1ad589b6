package rabbitmq

import (
	"crypto/rand"
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/portmq/mq/driver"
)

// receipt names one lease: a delivery on a channel. Delivery tags begin with 1
// on every channel, so that the tag alone would name another message after a
// reconnect.
type receipt struct {
	channel uint64 // random, of the channel that was opened
	tag     uint64 // the delivery's, never 0
}

const receiptVersion = "r1:"

// encode returns "r1:channel:tag:queue". The queue comes last, because it may
// hold colons.
func (r receipt) encode(queue string) driver.Receipt {
	b := make([]byte, 0, len(receiptVersion)+16+1+20+1+len(queue))
	b = append(b, receiptVersion...)
	for shift := 60; shift >= 0; shift -= 4 {
		b = append(b, "0123456789abcdef"[r.channel>>shift&15])
	}
	b = strconv.AppendUint(append(b, ':'), r.tag, 10)
	return driver.Receipt(append(append(b, ':'), queue...))
}

// parseReceipt is strict: no two texts are one receipt. Whatever is wrong with
// a text shows when the receipt is written again.
func parseReceipt(queue string, text driver.Receipt) (receipt, error) {
	rest, _ := strings.CutPrefix(string(text), receiptVersion)
	channel, rest, _ := strings.Cut(rest, ":")
	tag, _, _ := strings.Cut(rest, ":")
	var r receipt
	r.channel, _ = strconv.ParseUint(channel, 16, 64)
	r.tag, _ = strconv.ParseUint(tag, 10, 64)
	if r.tag == 0 || r.encode(queue) != text {
		return receipt{}, driver.ErrInvalidReceipt
	}
	return r, nil
}

func randomUint64() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint64(b[:])
}
