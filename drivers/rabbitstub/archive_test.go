package rabbitstub

import (
	"testing"

	"github.com/portmq/mq/driver"
)

// An archive is a queue like any other, which the redrive of drivers/rabbitmq
// needs: receive, send, ack.
func TestArchiveIsQueue(t *testing.T) {
	bubble(t, func(c client) {
		const archive = "q.archive"
		c.send("q", "dead")
		reject := func(queue string) error {
			return c.settleOne(c.t.Context(), queue, driver.Settlement{Receipt: c.one(queue).Receipt, Op: driver.OpArchive, Reason: "why"})
		}
		c.must(reject("q"))
		c.counts("q", 0, 1)
		c.counts(archive, 1, -1)
		d := c.one(archive)
		if string(d.Body) != "dead" || d.Headers[driver.HeaderReason] != "why" || d.ReadCount != 1 {
			t.Errorf("the archive has %+v", d)
		}
		c.counts("q", 0, 0) // what is leased is not counted
		c.send("q", string(d.Body))
		c.must(c.ack(archive, d))
		c.must(c.ack("q", c.one("q")))

		c.send("q", "again")
		c.must(reject("q"))
		requireErr(t, reject(archive), driver.ErrNotSupported)
		if err := c.EnsureQueue(t.Context(), archive, driver.QueueOptions{}); err == nil {
			t.Error("an archive has become a queue with an archive")
		}
		c.must(c.DropQueue(t.Context(), archive))
		c.send("q", "nowhere")
		requireErr(t, reject("q"), driver.ErrNotSupported)
		c.counts("q", 0, -1)
		c.ensure("q")
		c.counts("q", 0, 0)
		c.must(c.DropQueue(t.Context(), "q"))
		_, err := c.Receive(t.Context(), archive, driver.ReceiveRequest{Max: 1})
		requireErr(t, err, driver.ErrQueueNotFound)
		c.ensure(archive)
		if err := c.EnsureQueue(t.Context(), "q", driver.QueueOptions{}); err == nil {
			t.Error("a queue with an archive has become an archive")
		}
	})
}
