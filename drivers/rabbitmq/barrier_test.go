package rabbitmq

import (
	"math/rand/v2"
	"testing"
)

// brokersEnd is a channel's end in the broker, as rabbit_fifo_client is.
type brokersEnd struct {
	unanswered, heldBack int
	slow                 bool
}

func (b *brokersEnd) command() {
	if b.slow {
		b.heldBack++
		return
	}
	b.slow = b.unanswered >= softLimit
	b.unanswered++
}

// answers handles n answers of the queue. It sends what was held back in as
// many commands as there are consumers, one for each here.
func (b *brokersEnd) answers(n int) {
	b.unanswered -= n
	if !b.slow || b.unanswered >= softLimit {
		return
	}
	b.slow = false
	for range b.heldBack {
		b.slow = b.unanswered >= softLimit
		b.unanswered++
	}
	b.heldBack = 0
}

// TestCommands: whatever happens, the client counts no fewer unanswered
// commands than there are, and knows if some are held back.
func TestCommands(t *testing.T) {
	for range 2000 {
		var c commands
		var b brokersEnd
		write := func(n int) {
			c.add(n)
			for range n {
				b.command()
			}
		}
		var history []int
		for range 30 {
			n := rand.IntN(1 + rand.IntN(100))
			switch rand.IntN(4) {
			case 0, 1:
				write(n)
			case 2:
				n = min(n, b.unanswered)
				b.answers(n)
				n = -n
			case 3: // a call, and commands that come before its answer
				before, sent := c, b.unanswered
				write(n)
				b.answers(sent)
				c.answered(before)
				n += 1000
			}
			history = append(history, n)
			if b.heldBack > c.held || b.heldBack+b.unanswered > c.held+c.sent || c.sent < 0 || c.held < 0 {
				t.Fatalf("counted %+v, and there are %+v, after %d", c, b, history)
			}
		}
	}
}

// TestCommandsForgets: two answers are enough to know that nothing is held
// back, so that a burst does not make every later ack slower.
func TestCommandsForgets(t *testing.T) {
	var c commands
	c.add(1000)
	if c.held == 0 {
		t.Fatal("nothing of 1,000 commands is held back")
	}
	for range 2 {
		c.answered(c)
	}
	if c != (commands{}) {
		t.Errorf("%+v are left", c)
	}
}
