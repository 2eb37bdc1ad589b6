package workflow

import (
	"fmt"
	"path/filepath"
	"slices"
	"sync"
)

// task is what the orchestrator knows of one task. Its methods decide, and
// do not send.
type task struct {
	mu      sync.Mutex
	request TaskRequestMessage
	phase   phase
	steps   map[string]*step // by StepID
	open    int              // steps that have not ended
	unsent  []*step          // steps to send
	retries int
	outputs map[string][]string // of the steps that succeeded, by namespace
	errors  []StepError
	told    bool // that it has ended
}

// phase is the namespace whose steps are under way.
type phase int

const (
	begin phase = iota
	splitting
	counting
	merging
	ended
)

type step struct {
	StepMessage
	namespace string
	ended     bool
}

func newTask(r TaskRequestMessage) *task {
	t := &task{request: r, steps: make(map[string]*step), outputs: make(map[string][]string)}
	t.advance()
	return t
}

// advance goes on to the next phase while there is nothing to wait for.
func (t *task) advance() {
	for t.open == 0 && t.phase != ended {
		t.phase++
		switch t.phase {
		case splitting:
			t.add(Split, t.request.Folder)
		case counting:
			for _, file := range t.outputs[Split] {
				t.add(Count, file)
			}
		case merging:
			// Without any failure there were no files: nothing is a result.
			if counted := t.outputs[Count]; len(counted) > 0 || len(t.errors) == 0 {
				t.add(Merge, counted...)
			}
		}
	}
}

// add adds a step. Its ID follows from the task, so that a step that is sent
// twice is one step.
func (t *task) add(namespace string, inputs ...string) {
	id := fmt.Sprintf("%s-%d", namespace, len(t.steps))
	s := &step{namespace: namespace, StepMessage: StepMessage{
		TaskID:        t.request.TaskID,
		StepID:        id,
		CorrelationID: t.request.CorrelationID,
		Attempt:       1,
		Inputs:        inputs,
		Output:        filepath.Join(t.request.Work, t.request.TaskID, id+".json"),
	}}
	t.steps[id] = s
	t.unsent = append(t.unsent, s)
	t.open++
}

// record takes a result in. One that is known already, or that a later attempt
// has overtaken, changes nothing.
func (t *task) record(r StepExecutionResult, maxAttempts int) error {
	s := t.steps[r.StepID]
	switch {
	case s == nil:
		return fmt.Errorf("task %q has no step %q", r.TaskID, r.StepID)
	case s.ended || s.Attempt != r.Attempt:
		return nil
	case r.Error == "":
		t.outputs[s.namespace] = append(t.outputs[s.namespace], r.Outputs...)
	case r.Permanent || s.Attempt >= maxAttempts:
		t.errors = append(t.errors, StepError{s.StepID, s.Inputs, r.Error})
	default:
		s.Attempt++
		t.retries++
		t.unsent = append(t.unsent, s)
		return nil
	}
	s.ended = true
	t.open--
	t.advance()
	return nil
}

// toSend returns the steps to send, all of one namespace. A step that has ended
// although its send seemed to fail is not among them.
func (t *task) toSend() []*step {
	t.unsent = slices.DeleteFunc(t.unsent, func(s *step) bool { return s.ended })
	return t.unsent
}

// result tells how the task has ended.
func (t *task) result() TaskFinalizationMessage {
	m := TaskFinalizationMessage{
		TaskID:        t.request.TaskID,
		CorrelationID: t.request.CorrelationID,
		Status:        Failed,
		Steps:         len(t.steps),
		Retries:       t.retries,
		Errors:        t.errors,
	}
	if merged := t.outputs[Merge]; len(merged) > 0 {
		m.Output, m.Status = merged[0], Complete
		if len(t.errors) > 0 {
			m.Status = PartiallyFailed
		}
	}
	return m
}
