package rabbitmq

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/portmq/mq/driver"
)

// A delay is a binary number of units, one level for each digit. A level is a
// topic exchange and a queue whose messages expire after unit * 2^level. The
// routing key spells the number, highest digit first, and the queue in the
// end: the exchange of a level looks at its own digit, and sends a message
// with a 1 into its queue, and from there, or at once with a 0, to the next
// level below. What has passed level 0 comes to the exchange out, to which the
// queues are bound. So any delay works with a fixed number of queues, and no
// message waits behind one with a longer delay.
const (
	delayUnit   = 100 * time.Millisecond
	delayLevels = 24
	maxDelay    = (1<<delayLevels - 1) * delayUnit // 19 days

	delayPrefix = "mq.delay."
	delayOut    = delayPrefix + "out"
	// delayLost is where messages end up whose queue was dropped. Without it
	// they would stay at level 0 and, a few of them, hold up all others.
	delayLost = delayPrefix + "lost"
)

func levelName(level int) string { return fmt.Sprintf("%s%02d", delayPrefix, level) }

// delayRoute returns the exchange and the key that bring a message to a queue
// after a delay, rounded up.
func delayRoute(queue string, delay time.Duration) (exchange, key string, err error) {
	word, err := delayWord(queue)
	if err != nil {
		return "", "", err
	}
	units := uint64((min(delay, maxDelay) + delayUnit - 1) / delayUnit)
	var b strings.Builder
	top := 0
	for level := delayLevels - 1; level >= 0; level-- {
		digit := units >> level & 1
		if digit == 1 && top == 0 {
			top = level
		}
		b.WriteByte("01"[digit])
		b.WriteByte('.')
	}
	b.WriteString(word)
	return levelName(top), b.String(), nil
}

// delayWord makes one word of a queue's name: dots would make more of it, and
// * and # match other words.
func delayWord(queue string) (string, error) {
	word := strings.NewReplacer(".", "%2E", "*", "%2A").Replace(url.PathEscape(queue))
	if len(word) > 255-2*delayLevels {
		return "", fmt.Errorf("%w: a delay needs a queue name of at most %d bytes, of which special characters count three times", driver.ErrInvalid, 255-2*delayLevels)
	}
	return word, nil
}

// topLevel returns the level of an exchange that delayRoute has returned.
func topLevel(exchange string) int {
	var level int
	_, _ = fmt.Sscanf(exchange, delayPrefix+"%d", &level)
	return level
}

// pattern returns the binding key for those with a digit at a level.
func pattern(level int, digit string) string {
	return strings.Repeat("*.", delayLevels-1-level) + digit + ".#"
}

// ladders notes what has been made of the levels.
type ladders struct {
	mu      sync.Mutex
	top     int   // levels below it are there
	refused error // why the user may not have delays, nil if that is not known
	until   time.Time
	said    bool // that was logged
}

// refusedFor is how long a refusal is believed. Somebody may grant the rights.
const refusedFor = time.Minute

func (l *ladders) refuse(err error, log *slog.Logger) {
	l.mu.Lock()
	said := l.said
	l.refused, l.until, l.said = err, time.Now().Add(refusedFor), true
	l.mu.Unlock()
	if !said {
		log.Warn("rabbitmq: a message that is to be retried later waits in this process, since the user lacks the rights for the broker's delays", "error", err)
	}
}

func (l *ladders) refusal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refused != nil && time.Now().After(l.until) {
		l.refused = nil
	}
	return l.refused
}

// forget makes the next delay look again.
func (l *ladders) forget() { l.reach(0) }

func (l *ladders) reach(top int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.top = top
}

func (l *ladders) reached() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.top
}

// declareDelays makes the levels up to top, and binds a queue. Binding it each
// time finds out whether it is there, and one that was made again by others
// needs it.
func (p *Provider) declareDelays(ch *amqp.Channel, queue string, top int) error {
	word, err := delayWord(queue)
	if err != nil {
		return err
	}
	have := p.ladders.reached()
	if have == 0 {
		if err := declareOut(ch); err != nil {
			return err
		}
	}
	for level := have; level <= top; level++ {
		if err := declareLevel(ch, level); err != nil {
			return err
		}
	}
	if err := bindOut(ch, queue, word); err != nil {
		return err
	}
	if top >= have {
		p.ladders.reach(top + 1)
	}
	return nil
}

// findDelays reports whether the levels up to top are there, and notes it.
func (p *Provider) findDelays(ctx context.Context, top int) (bool, error) {
	err := p.onChannel(ctx, func(_ *session, ch *amqp.Channel) error {
		for level := range top + 1 {
			if err := ch.ExchangeDeclarePassive(levelName(level), amqp.ExchangeTopic, true, false, false, false, nil); err != nil {
				return err
			}
			if _, err := ch.QueueDeclarePassive(levelName(level), true, false, false, false, nil); err != nil {
				return err
			}
		}
		return ch.ExchangeDeclarePassive(delayOut, amqp.ExchangeTopic, true, false, false, false, nil)
	})
	if isMissing(err) {
		return false, nil
	}
	if err == nil {
		p.ladders.reach(top + 1)
	}
	return err == nil, err
}

// bindOut binds a queue to the end of the ladder: delayLevels digits, and its
// own word.
func bindOut(ch *amqp.Channel, queue, word string) error {
	return ch.QueueBind(queue, strings.Repeat("*.", delayLevels)+word, delayOut, false, nil)
}

func declareOut(ch *amqp.Channel) error {
	if err := declareExchange(ch, delayLost, amqp.ExchangeFanout, nil); err != nil {
		return err
	}
	if err := declareQuorum(ch, delayLost, nil); err != nil {
		return err
	}
	if err := ch.QueueBind(delayLost, "", delayLost, false, nil); err != nil {
		return err
	}
	return declareExchange(ch, delayOut, amqp.ExchangeTopic, amqp.Table{"alternate-exchange": delayLost})
}

func declareLevel(ch *amqp.Channel, level int) error {
	name, next := levelName(level), delayOut
	if level > 0 {
		next = levelName(level - 1)
	}
	if err := declareExchange(ch, name, amqp.ExchangeTopic, nil); err != nil {
		return err
	}
	err := declareQuorum(ch, name, amqp.Table{
		"x-message-ttl":          int64(delayUnit<<level) / int64(time.Millisecond),
		"x-dead-letter-exchange": next,
		"x-dead-letter-strategy": "at-least-once",
		"x-overflow":             "reject-publish",
	})
	if err != nil {
		return err
	}
	if err := ch.QueueBind(name, pattern(level, "1"), name, false, nil); err != nil {
		return err
	}
	return ch.ExchangeBind(next, pattern(level, "0"), name, false, nil)
}

func declareExchange(ch *amqp.Channel, name, kind string, args amqp.Table) error {
	return ch.ExchangeDeclare(name, kind, true, false, false, false, args)
}
