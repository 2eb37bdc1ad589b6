package rabbitmq

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

// The methods that the hanging twins leave unanswered.
const (
	confirmSelect, confirmSelectOk = 85<<16 | 10, 85<<16 | 11
	queueDeclare, queuePurge       = 50<<16 | 10, 50<<16 | 30
	queueDelete, basicPublish      = 50<<16 | 40, 60<<16 | 40
	exchangeDeclare                = 40<<16 | 10
	basicConsume, basicCancel      = 60<<16 | 20, 60<<16 | 30
)

// TestHanging: whatever the broker does not answer, a call without a deadline
// ends, and says what it waited for. Close does not wait for it.
func TestHanging(t *testing.T) {
	calls := map[string]func(context.Context, *Provider) error{
		"ping":    func(ctx context.Context, p *Provider) error { return p.Ping(ctx) },
		"version": func(ctx context.Context, p *Provider) error { _, err := p.ServerVersion(ctx); return err },
		"stats":   func(ctx context.Context, p *Provider) error { _, err := p.Stats(ctx, "q"); return err },
		"purge":   func(ctx context.Context, p *Provider) error { _, err := p.PurgeQueue(ctx, "q"); return err },
		"drop":    func(ctx context.Context, p *Provider) error { return p.DropQueue(ctx, "q") },
		"ensure":  func(ctx context.Context, p *Provider) error { return p.EnsureQueue(ctx, "q", driver.QueueOptions{}) },
		"receive": func(ctx context.Context, p *Provider) error { _, err := p.Receive(ctx, "q", one); return err },
		"wait": func(ctx context.Context, p *Provider) error {
			_, err := p.Receive(ctx, "q", driver.ReceiveRequest{Max: 10, Visibility: time.Minute, Wait: time.Second})
			return err
		},
		"send": func(ctx context.Context, p *Provider) error {
			_, err := p.Send(ctx, "q", []driver.Message{{}})
			return err
		},
		"send later": func(ctx context.Context, p *Provider) error {
			_, err := p.Send(ctx, "q", []driver.Message{{Delay: time.Second}})
			return err
		},
	}
	// Publishings and cancellations are never answered.
	for _, silent := range []uint32{channelOpen, queueDeclare, queuePurge, queueDelete, exchangeDeclare, basicGet, basicQos, basicConsume, confirmSelect, channelClose, 0} {
		for name, call := range calls {
			synctest.Test(t, func(t *testing.T) {
				b := &fakeBroker{product: "RabbitMQ", version: "3.10.8", on: func(conn net.Conn, channel uint16, method uint32) bool {
					switch {
					case method == silent, method == basicPublish, method == basicCancel:
					case method == queueDeclare:
						answer(conn, channel, 50<<16|11, append([]byte{1, 'q'}, make([]byte, 8)...)...)
					case method == queuePurge, method == queueDelete:
						answer(conn, channel, method+1, 0, 0, 0, 0)
					case method == exchangeDeclare, method == confirmSelect, method == basicQos:
						answer(conn, channel, method+1)
					case method == basicGet:
						answer(conn, channel, getEmpty, 0)
					case method == basicConsume:
						answer(conn, channel, method+1, 1, 'c')
					default:
						return false
					}
					return true
				}}
				p := b.inBubble(t)
				p.publisher.session = p.consumer.session
				begin := time.Now()
				err := call(t.Context(), p)
				took := time.Since(begin)
				if took > 2*time.Minute || took >= answerLimit && !errors.Is(err, driver.ErrBadConn) && !errors.Is(err, driver.ErrUnavailable) {
					t.Errorf("%s, without an answer to %d.%d: %v after %v", name, silent>>16, silent&0xffff, err, took)
				}
				begin = time.Now()
				if err := p.Close(); err != nil || time.Since(begin) > 10*time.Second {
					t.Errorf("Close: %v after %v", err, time.Since(begin))
				}
			})
		}
	}
}

// TestUnconfirmed: sends to a queue that never confirms leave no channels
// behind.
func TestUnconfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var open atomic.Int32
		b := &fakeBroker{product: "RabbitMQ", version: "3.10.8", on: func(conn net.Conn, channel uint16, method uint32) bool {
			switch method {
			case channelOpen:
				open.Add(1)
			case channelClose:
				open.Add(-1)
			case confirmSelect:
				answer(conn, channel, confirmSelectOk)
				return true
			}
			return false
		}}
		p := b.inBubble(t)
		p.publisher.session = p.consumer.session
		for range 20 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := p.Send(ctx, "q", []driver.Message{{}})
			cancel()
			if !errors.Is(err, driver.ErrUnavailable) {
				t.Errorf("a send that nobody confirms: %v", err)
			}
		}
		time.Sleep(time.Minute)
		if n := open.Load(); n > 0 {
			t.Errorf("%d channels of sends that have ended are open", n)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestDeadConnection: a connection that is silent altogether costs one call.
func TestDeadConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dead atomic.Bool
		b := &fakeBroker{product: "RabbitMQ", version: "3.10.8", on: func(net.Conn, uint16, uint32) bool { return dead.Load() }}
		p := b.inBubble(t)
		s := p.consumer.session
		s.Config.Heartbeat = defaultHeartbeat
		dead.Store(true)
		if err := p.Ping(t.Context()); !errors.Is(err, driver.ErrBadConn) {
			t.Errorf("a dead connection: %v", err)
		}
		synctest.Wait()
		if !s.IsClosed() {
			t.Error("a connection that is silent is used again")
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}
