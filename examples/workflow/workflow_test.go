package workflow_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/examples/workflow"
)

func TestCounts(t *testing.T) {
	f, x := setup(t), newTexts(t, 20)
	f.startOrchestrator()
	f.startWorkers(3, workflow.Steps())
	end := f.await(f.submit(x.folder))[0]
	f.wantWords(end, workflow.Complete, x.words)
	if end.Steps != 22 || end.Retries != 0 || len(end.Errors) != 0 {
		t.Errorf("%+v", end)
	}
	f.wantDead()
}

func TestEmptyFolder(t *testing.T) {
	f, x := setup(t), newTexts(t, 0)
	x.add(".hidden", "not counted")
	f.startOrchestrator()
	f.startWorkers(1, workflow.Steps())
	f.wantWords(f.await(f.submit(x.folder))[0], workflow.Complete, x.words)
}

func TestTwoTasksAtOnce(t *testing.T) {
	f, x, y := setup(t), newTexts(t, 10), newTexts(t, 15)
	f.startOrchestrator()
	f.startWorkers(3, workflow.Steps())
	ends := f.await(f.submit(x.folder), f.submit(y.folder))
	f.wantWords(ends[0], workflow.Complete, x.words)
	f.wantWords(ends[1], workflow.Complete, y.words)
}

// failing makes a step of each file fail the first n times.
func failing(step workflow.StepFunc, n int, with func()) workflow.StepFunc {
	var mu sync.Mutex
	calls := make(map[string]int)
	return func(ctx context.Context, s workflow.StepMessage) ([]string, error) {
		mu.Lock()
		calls[s.StepID]++
		call := calls[s.StepID]
		mu.Unlock()
		if call <= n {
			with()
			return nil, errors.New("disk is busy")
		}
		return step(ctx, s)
	}
}

func TestTransientFailures(t *testing.T) {
	for name, with := range map[string]func(){
		"error": func() {},
		"panic": func() { panic("disk is busy") },
	} {
		t.Run(name, func(t *testing.T) {
			f, x := setup(t), newTexts(t, 5)
			f.startOrchestrator()
			steps := workflow.Steps()
			steps[workflow.Count] = failing(steps[workflow.Count], 2, with)
			steps[workflow.Merge] = failing(steps[workflow.Merge], 1, with)
			f.startWorkers(2, steps)
			end := f.await(f.submit(x.folder))[0]
			f.wantWords(end, workflow.Complete, x.words)
			if end.Steps != 7 || end.Retries != 11 {
				t.Errorf("%d steps, %d retries", end.Steps, end.Retries)
			}
		})
	}
}

func TestStepThatFailsForGood(t *testing.T) {
	f, x := setup(t), newTexts(t, 5)
	x.add("latin1.txt", "caf\xe9")
	if err := os.Symlink("nowhere", filepath.Join(x.folder, "missing.txt")); err != nil {
		t.Fatal(err)
	}
	f.startOrchestrator()
	f.startWorkers(3, workflow.Steps())
	end := f.await(f.submit(x.folder))[0]
	f.wantWords(end, workflow.PartiallyFailed, x.words)
	if len(end.Errors) != 2 || end.Retries != 0 || end.Steps != 9 {
		t.Errorf("%+v", end)
	}
	for _, e := range end.Errors {
		want := map[string]string{
			"latin1.txt":  "the file is not UTF-8 text",
			"missing.txt": "no such file",
		}[filepath.Base(e.Inputs[0])]
		if want == "" || !strings.Contains(e.Error, want) {
			t.Errorf("%+v, want %q", e, want)
		}
	}
}

func TestStepThatFailsTooOften(t *testing.T) {
	f, x := setup(t), newTexts(t, 3)
	x.add("cursed.txt", "words that nobody will ever count")
	f.startOrchestrator()
	steps := workflow.Steps()
	count := steps[workflow.Count]
	steps[workflow.Count] = func(ctx context.Context, s workflow.StepMessage) ([]string, error) {
		if filepath.Base(s.Inputs[0]) == "cursed.txt" {
			return nil, errors.New("disk is busy")
		}
		return count(ctx, s)
	}
	f.startWorkers(2, steps)
	end := f.await(f.submit(x.folder))[0]
	f.wantWords(end, workflow.PartiallyFailed, x.words)
	if len(end.Errors) != 1 || end.Errors[0].Error != "disk is busy" || end.Retries != 2 {
		t.Errorf("%+v", end)
	}
}

func TestTasksWithoutResult(t *testing.T) {
	f, x := setup(t), newTexts(t, 0)
	x.add("latin1.txt", "caf\xe9")
	f.startOrchestrator()
	f.startWorkers(1, workflow.Steps())
	nowhere := filepath.Join(x.folder, "nowhere")
	for _, end := range f.await(f.submit(x.folder), f.submit(nowhere)) {
		if end.Status != workflow.Failed || end.Output != "" || len(end.Errors) != 1 {
			t.Errorf("%+v", end)
		}
	}
}

// startPlanners starts a worker that does everything but count.
func (f *fixture) startPlanners() {
	steps := workflow.Steps()
	delete(steps, workflow.Count)
	f.startWorkers(1, steps)
}

// lease takes n steps, as a worker does that is killed soon after.
func (f *fixture) lease(namespace string, n int) (ds []mq.TypedDelivery[workflow.StepMessage]) {
	queue := f.newQueues().Steps[namespace]
	for len(ds) < n {
		more, err := queue.Receive(f.ctx, mq.ReceiveOptions{Max: n - len(ds), Visibility: time.Second, Wait: time.Minute})
		if err != nil || len(more) == 0 {
			f.Fatalf("%d steps leased, %v", len(ds), err)
		}
		ds = append(ds, more...)
	}
	return ds
}

// A worker that is killed in the middle of a step never settles it.
func TestCrashedWorker(t *testing.T) {
	f, x := setup(t), newTexts(t, 6)
	f.startOrchestrator()
	f.startPlanners()
	task := f.submit(x.folder)
	f.lease(workflow.Count, 3)
	f.startWorkers(2, workflow.Steps())
	f.wantWords(f.await(task)[0], workflow.Complete, x.words)
}

// A worker that is killed between its report and its ack has done a step that
// is done again.
func TestCrashAfterReport(t *testing.T) {
	f, x := setup(t), newTexts(t, 3)
	f.startOrchestrator()
	f.startPlanners()
	task := f.submit(x.folder)
	for i, d := range f.lease(workflow.Count, 3) {
		step, err := d.Value()
		if err != nil {
			t.Fatal(err)
		}
		outputs, err := workflow.Steps()[workflow.Count](f.ctx, step)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 { // the first one does not get so far
			f.report(workflow.StepExecutionResult{TaskID: task, StepID: step.StepID, Attempt: 1, Outputs: outputs})
		}
	}
	f.startWorkers(2, workflow.Steps())
	end := f.await(task)[0]
	f.wantWords(end, workflow.Complete, x.words)
	if end.Retries != 0 || end.Steps != 5 {
		t.Errorf("%+v", end)
	}
}

func (f *fixture) report(r workflow.StepExecutionResult) {
	if _, err := f.queues.Results.Send(f.ctx, r); err != nil {
		f.Fatal(err)
	}
}

func TestMalformedMessages(t *testing.T) {
	f, x := setup(t), newTexts(t, 5)
	garbage := func(q *mq.Queue) {
		if _, err := q.Send(f.ctx, &mq.Message{Body: []byte("garbage")}); err != nil {
			t.Fatal(err)
		}
	}
	garbage(f.queues.Results.Queue())
	f.startOrchestrator()
	task := f.submit(x.folder)
	garbage(f.queues.Results.Queue())
	garbage(f.queues.Steps[workflow.Count].Queue())
	f.startWorkers(3, workflow.Steps())
	f.wantWords(f.await(task)[0], workflow.Complete, x.words)
	f.wantDead(
		"payload does not decode into workflow.StepExecutionResult",
		"payload does not decode into workflow.StepExecutionResult",
		"payload does not decode into workflow.StepMessage: step message: unknown version",
	)
}

func TestMessagesThatMakeNoSense(t *testing.T) {
	f, x := setup(t), newTexts(t, 1)
	f.startOrchestrator()
	task := f.submit(x.folder)
	f.lease(workflow.Split, 1) // so the task has begun
	f.request(workflow.TaskRequestMessage{TaskID: "../etc"})
	f.report(workflow.StepExecutionResult{TaskID: "nobody", StepID: "split-0"})
	f.report(workflow.StepExecutionResult{TaskID: task, StepID: "dance-7"})
	f.wantDead(
		`task "`+task+`" has no step "dance-7"`,
		`task id "../etc" is not made of letters, digits, _ and -`,
		`unknown task "nobody"`,
	)
	f.startWorkers(1, workflow.Steps())
	f.wantWords(f.await(task)[0], workflow.Complete, x.words)
}

func TestAwaitSetsAsideWhatNobodyAwaits(t *testing.T) {
	f := setup(t)
	finalize := func(id string) {
		if _, err := f.queues.Finalizations.Send(f.ctx, workflow.TaskFinalizationMessage{TaskID: id}); err != nil {
			t.Error(err)
		}
	}
	finalize("stranger")
	go func() {
		for f.dead.len() == 0 && f.ctx.Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
		finalize("friend")
	}()
	if _, err := f.queues.Await(f.ctx, "friend"); err != nil {
		t.Error(err)
	}
	f.wantDead(`nobody awaits task "stranger"`)
}

// The same request, however often it comes, is one task with one end.
func TestRepeatedRequest(t *testing.T) {
	f, x := setup(t), newTexts(t, 3)
	f.startOrchestrator()
	r := workflow.TaskRequestMessage{TaskID: "once", CorrelationID: "c-once", Folder: x.folder, Work: t.TempDir()}
	f.request(r)
	f.request(r)
	f.startWorkers(2, workflow.Steps())
	f.wantWords(f.await("once")[0], workflow.Complete, x.words)
	f.request(r)
	if ds, err := f.queues.Finalizations.Receive(f.ctx, mq.ReceiveOptions{Wait: 300 * time.Millisecond}); err != nil || len(ds) != 0 {
		t.Errorf("%d more finalizations, %v", len(ds), err)
	}
}

// Every third send does not arrive, and every fifth arrives without anybody
// being told so.
func TestUnreliableSends(t *testing.T) {
	var sends atomic.Int64
	f := setup(t, func(ctx context.Context, c *mq.Call, next func(context.Context) error) error {
		if c.Op != "send" {
			return next(ctx)
		}
		switch n := sends.Add(1); {
		case n%3 == 0:
			return mq.ErrBadConn
		case n%5 == 0:
			return errors.Join(next(ctx), mq.ErrUnavailable)
		}
		return next(ctx)
	})
	x := newTexts(t, 10)
	f.startOrchestrator()
	f.startWorkers(3, workflow.Steps())
	var tasks []string
	for range 4 {
		tasks = append(tasks, f.submitUntilSent(x.folder))
	}
	for _, end := range f.await(tasks...) {
		f.wantWords(end, workflow.Complete, x.words)
	}
}

func (f *fixture) submitUntilSent(folder string) (taskID string) {
	work := f.TempDir()
	r := workflow.TaskRequestMessage{TaskID: filepath.Base(work), CorrelationID: "c-" + filepath.Base(work), Folder: folder, Work: work}
	for f.queues.Submit(f.ctx, r) != nil {
		if f.ctx.Err() != nil {
			f.Fatal("nothing could be sent")
		}
	}
	return r.TaskID
}
