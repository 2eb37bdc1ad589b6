package rabbitmq_test

import (
	"fmt"

	"github.com/portmq/mq"
)

// publish binds the queues to a pattern for as long as it takes to publish to some topics.
func (w *twins) publish() {
	patterns := []string{"a.*", "a.#", "#", "*", "*.b", "#.b", "a.b", "a*", "a.#.c"}
	pattern := patterns[w.rand.IntN(len(patterns))]
	var errs [2]error
	for i, q := range w.q {
		errs[i] = q.Bind(w.Context(), pattern)
	}
	w.same("bind to "+pattern, errs)
	for _, topic := range []string{"a", "b", "a.b", "a.b.c", "b.c.b", "a.c"} {
		w.publishTo(topic, "bound to "+pattern)
	}
	for i, q := range w.q {
		errs[i] = q.Unbind(w.Context(), pattern)
	}
	w.same("unbind from "+pattern, errs)
	w.publishTo("a.b", "bound to nothing")
}

func (w *twins) publishTo(topic, bound string) {
	w.sent++
	var errs [2]error
	var queues [2]int
	for i, c := range w.c {
		out, err := c.Publish(w.Context(), topic, &mq.Message{Body: fmt.Append(nil, w.sent)})
		queues[i], errs[i] = len(out), err
	}
	if w.same("publish to "+topic, errs); queues[0] != queues[1] {
		w.Errorf("publish to %s, %s: the broker returns %d, the stub %d", topic, bound, queues[0], queues[1])
	}
}
