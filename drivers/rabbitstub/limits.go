package rabbitstub

import (
	"fmt"
	"maps"
	"net/url"
	"strings"

	"github.com/portmq/mq/driver"
)

// The limits of AMQP that Caps cannot tell.
const (
	maxHeaderName = 255
	maxHeaders    = 128<<10 - 4<<10     // a frame, less what else it holds
	maxRoute      = 255 - 2*delayLevels // what delays leave of a routing key to the queue's name
)

// checkMessages refuses what does not fit into AMQP's frames.
func checkMessages(queue string, msgs []driver.Message) error {
	for i := range msgs {
		if err := checkHeaders(msgs[i].Headers); err != nil {
			return err
		}
		if msgs[i].Delay > 0 {
			if err := checkDelayed(queue); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkHeaders(h driver.Headers) error {
	size := 0
	for k, v := range h {
		if len(k) > maxHeaderName {
			return fmt.Errorf("%w: a header's name is longer than AMQP's %d bytes", driver.ErrInvalid, maxHeaderName)
		}
		size += len(k) + len(v) + 6
	}
	if size > maxHeaders {
		return fmt.Errorf("%w: the headers have %d bytes, the limit is %d", driver.ErrTooLarge, size, maxHeaders)
	}
	return nil
}

// checkDelayed refuses delays for a queue whose name is too long.
func checkDelayed(queue string) error {
	word := strings.NewReplacer(".", "%2E", "*", "%2A").Replace(url.PathEscape(queue))
	if len(word) > maxRoute {
		return fmt.Errorf("%w: a delay needs a queue name of at most %d bytes, of which special characters count three times", driver.ErrInvalid, maxRoute)
	}
	return nil
}

// cloneHeaders copies h without what the driver keeps for itself.
func cloneHeaders(h driver.Headers) driver.Headers {
	c := maps.Clone(h)
	for _, own := range []string{"mq-enqueued-at", "mq-read-count", "mq-uncounted", "mq-answered", "mq-unanswered", "mq-archived-at"} {
		delete(c, own)
	}
	return c
}
