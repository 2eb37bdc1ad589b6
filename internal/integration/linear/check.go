package linear

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// Result is what a check has found.
type Result struct {
	// Undecided reports that there was not enough time.
	Undecided bool
	// Fault says why no order explains the history, or is "".
	Fault string
}

// Folder is the environment variable that names a folder for pictures of the
// histories that no order explains: pages for a browser.
const Folder = "MQ_TEST_LINEAR_DIR"

// Check checks a history message by message, each for limit at most.
func (h *History) Check(limit time.Duration) (r Result) {
	if len(h.flaws) > 0 {
		r.Fault = strings.Join(h.flaws, "\n") + "\n" + h.String()
		return r
	}
	for m := range maxMessages {
		ops := h.operations(m)
		model := h.model(func(*event) int { return 0 })
		switch found, info := porcupine.CheckOperationsVerbose(model, ops, limit); found {
		case porcupine.Unknown:
			r.Undecided = true
		case porcupine.Illegal:
			r.Fault = fmt.Sprintf("no order explains message %d:\n%s%s%s", m, h.describe(m), stuck(model, info), picture(model, info))
			return r
		}
	}
	return r
}

// CheckQueue checks a history on the queue as a whole.
func (h *History) CheckQueue(limit time.Duration) (r Result) {
	model := h.model(func(e *event) int { return e.message })
	switch found, info := porcupine.CheckOperationsVerbose(model, h.operations(-1), limit); found {
	case porcupine.Unknown:
		r.Undecided = true
	case porcupine.Illegal:
		r.Fault = fmt.Sprintf("no order explains the queue:\n%s%s%s", h, stuck(model, info), picture(model, info))
	}
	return r
}

// operations returns the events of a message, or the calls on all if it is -1. Those of
// a call that is not one step are operations for themselves. Behind them comes the end.
func (h *History) operations(message int) (ops []porcupine.Operation) {
	for _, c := range h.calls {
		var together []*event
		for _, e := range c.events {
			switch {
			case message >= 0 && e.message != message:
			case message < 0 && c.whole:
				together = append(together, e)
			default:
				ops = append(ops, operation(c, e))
			}
		}
		if len(together) > 0 {
			ops = append(ops, operation(c, together...))
		}
	}
	end := &call{of: h, client: "the end", begun: h.end + 1, returned: h.end + 1}
	for m := range maxMessages {
		if message < 0 || message == m {
			end.add(event{kind: last, message: m})
		}
	}
	return append(ops, operation(end, end.events...))
}

func operation(c *call, events ...*event) porcupine.Operation {
	return porcupine.Operation{Input: events, Call: c.begun, Return: c.returned}
}

// queue is the states of all messages, or of one, in the first place.
type queue [maxMessages]message

// model returns the model for the checker. at says where the message of an event is.
func (h *History) model(at func(*event) int) porcupine.Model {
	rules := &model{h.caps, h.leeway, h.end}
	return porcupine.Model{
		Init: func() any { return queue{} },
		Step: func(state, input, _ any) (bool, any) {
			q := state.(queue)
			for _, e := range input.([]*event) {
				m, ok := rules.step(q[at(e)], e)
				if !ok {
					return false, state
				}
				q[at(e)] = m
			}
			return true, q
		},
		DescribeOperation: func(input, _ any) string { return input.([]*event)[0].call.text },
		DescribeState: func(state any) string {
			q := state.(queue)
			return q.String()
		},
	}
}

func (q *queue) String() string {
	var lines []string
	for i, m := range q {
		if m.place != nowhere {
			lines = append(lines, fmt.Sprintf("[%d] %s", i, m))
		}
	}
	return strings.Join(lines, "\n")
}

// stuck returns the longest order that was found, and the state after it.
func stuck(model porcupine.Model, info porcupine.LinearizationInfo) string {
	var longest []porcupine.Operation
	for _, partition := range info.PartialLinearizationsOperations() {
		for _, ops := range partition {
			if len(ops) > len(longest) {
				longest = ops
			}
		}
	}
	state := model.Init()
	order := make([]string, len(longest))
	for i, op := range longest {
		order[i] = fmt.Sprint("#", op.Input.([]*event)[0].call.n)
		_, state = model.Step(state, op.Input, nil)
	}
	return fmt.Sprintf("the longest order that works: %s\nand then: %s\n", strings.Join(order, " "), model.DescribeState(state))
}

// picture writes a page that shows the history, if Folder is set.
func picture(model porcupine.Model, info porcupine.LinearizationInfo) string {
	dir := os.Getenv(Folder)
	if dir == "" {
		return ""
	}
	path := filepath.Join(dir, fmt.Sprintf("history-%d.html", time.Now().UnixNano()))
	if err := porcupine.VisualizePath(model, info, path); err != nil {
		return err.Error() + "\n"
	}
	return path + "\n"
}
