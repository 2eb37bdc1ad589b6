package rabbitmq

import (
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

// The methods of class basic that the tests answer.
const (
	basicQos, basicQosOk           = 60<<16 | 10, 60<<16 | 11
	basicGet, basicGetOk, getEmpty = 60<<16 | 70, 60<<16 | 71, 60<<16 | 72
)

var one = driver.ReceiveRequest{Max: 1, Visibility: time.Minute}

// TestCrowd: calls that wait for others on the channel are not taken for calls
// that the broker does not answer.
func TestCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fakeBroker{product: "RabbitMQ", version: "3.10.8", on: func(conn net.Conn, channel uint16, method uint32) bool {
			if method == basicGet {
				time.Sleep(50 * time.Millisecond)
				answer(conn, channel, getEmpty, 0)
			}
			return method == basicGet
		}}
		p := b.inBubble(t)
		var receivers sync.WaitGroup
		for range 1000 {
			receivers.Go(func() {
				if ds, err := p.Receive(t.Context(), "q", one); err != nil || len(ds) > 0 {
					t.Errorf("an empty queue delivered %d messages, %v", len(ds), err)
				}
			})
		}
		receivers.Wait()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestSilence: a call that the broker does not answer ends, and so do those
// that wait for it. The next one has a channel of its own.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var silent atomic.Uint32 // the method that is not answered
		b := &fakeBroker{product: "RabbitMQ", version: "3.10.8", on: func(conn net.Conn, channel uint16, method uint32) bool {
			switch {
			case method == silent.Load(), method == channelClose && silent.Load() != 0:
			case method == basicGet:
				deliver(conn, channel)
			case method == basicQos:
				answer(conn, channel, basicQosOk)
			default:
				return false
			}
			return true
		}}
		p := b.inBubble(t)
		receive := func() []driver.Delivery {
			ds, err := p.Receive(t.Context(), "q", one)
			if err != nil || len(ds) != 1 {
				t.Fatalf("received %d messages, %v", len(ds), err)
			}
			return ds
		}
		ack := func(ds []driver.Delivery) error {
			return p.Settle(t.Context(), "q", []driver.Settlement{{Receipt: ds[0].Receipt, Op: driver.OpAck}})
		}
		if err := ack(receive()); err != nil {
			t.Error(err)
		}

		synctest.Wait() // the ack's own questions are answered
		silent.Store(basicQos)
		if err := ack(receive()); !errors.Is(err, driver.ErrUnavailable) {
			t.Errorf("an ack that is not answered: %v", err)
		}
		silent.Store(basicGet)
		var receivers sync.WaitGroup
		for range 10 {
			receivers.Go(func() {
				if _, err := p.Receive(t.Context(), "q", one); !errors.Is(err, driver.ErrBadConn) {
					t.Errorf("a call that is not answered: %v", err)
				}
			})
		}
		receivers.Wait()
		silent.Store(0)
		if err := ack(receive()); err != nil {
			t.Error(err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestSlowLine: an answer that takes longer than a broker may be silent is
// waited for as long as it comes nearer.
func TestSlowLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, piece = 4 << 20, 100 << 10 // 41 s
		b := &fakeBroker{product: "RabbitMQ", version: "3.10.8", on: func(conn net.Conn, channel uint16, method uint32) bool {
			if method == basicGet {
				deliverHead(conn, channel, size)
				for left := size; left > 0; left -= piece {
					time.Sleep(time.Second)
					frame(conn, 3, channel, make([]byte, min(piece, left))...)
				}
			}
			return method == basicGet
		}}
		p := b.inBubble(t)
		ds, err := p.Receive(t.Context(), "q", one)
		if err != nil || len(ds) != 1 || len(ds[0].Body) != size {
			t.Errorf("received %d messages, %v", len(ds), err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

// deliver answers a get with a message of one byte.
func deliver(conn net.Conn, channel uint16) {
	deliverHead(conn, channel, 1)
	frame(conn, 3, channel, 'x')
}

// deliverHead is all of that but the body.
func deliverHead(conn net.Conn, channel uint16, size uint64) {
	answer(conn, channel, basicGetOk, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0) // tag 1, no exchange, no key
	head := binary.BigEndian.AppendUint64([]byte{0, 60, 0, 0}, size)
	frame(conn, 2, channel, append(head, 0, 0)...) // no properties
}
