package rabbitmq

import (
	"errors"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/portmq/mq/driver"
)

// answerLimit is how long the broker may take to answer a call: 3.10 may forget
// a consumer that comes while the queue has no leader yet, after a restart, and
// finds out minutes later. Large bodies on their way through a slow line are in
// front of the answer, so that the limit starts anew, a few times, while the
// connection carries more than heartbeats.
const (
	answerLimit  = 15 * time.Second
	answerRounds = 12
	progress     = 64 << 10 // bytes in one round
)

// noAnswer is the error of a call that the broker did not answer.
func noAnswer(is error) error {
	return &amqpError{"the broker did not answer in time", is, errors.New("no answer")}
}

// watch calls giveUp if the call that begins is not answered in time. The
// caller calls what it returns when it is.
func (s *session) watch(giveUp func()) (answered func()) {
	done := make(chan struct{})
	before, heard := s.wire.moved.Load(), s.wire.heard.Load()
	t := time.AfterFunc(answerLimit, func() {
		if s.goOn(done, before, &heard) {
			return
		}
		if s.wire.heard.Load() == heard && s.Config.Heartbeat < answerLimit {
			s.bury()
		}
		giveUp()
	})
	return func() {
		t.Stop()
		close(done)
	}
}

// goOn waits as long as there is reason to hope, and reports whether the call
// was answered. It notes how much had been heard when the last round began.
func (s *session) goOn(done <-chan struct{}, before int64, heard *int64) bool {
	for round := 0; round < answerRounds; {
		now := s.wire.moved.Load()
		cleared, _ := s.blockade()
		if now-before < progress && cleared == nil {
			break
		}
		if cleared == nil {
			round++
		}
		before, *heard = now, s.wire.heard.Load()
		select {
		case <-time.After(answerLimit):
		case <-done:
			return true
		}
	}
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// bury closes a connection from which not even a heartbeat came, so that the
// next call dials. amqp091-go would take three heartbeats to find out.
func (s *session) bury() {
	go func() { _ = s.CloseDeadline(time.Now()) }()
}

// newChannel opens a channel. One that comes too late is closed.
func (p *Provider) newChannel(s *session) (*amqp.Channel, error) {
	type result struct {
		ch  *amqp.Channel
		err error
	}
	opened, silent := make(chan result), make(chan struct{})
	open := func() {
		ch, err := s.Channel()
		select {
		case opened <- result{ch, err}:
		case <-silent:
			if err == nil {
				_ = ch.Close()
			}
		}
	}
	if !p.start(open) {
		return nil, driver.ErrClosed
	}
	defer s.watch(func() { close(silent) })()
	select {
	case r := <-opened:
		return r.ch, r.err
	case <-silent:
		return nil, noAnswer(driver.ErrBadConn)
	}
}
