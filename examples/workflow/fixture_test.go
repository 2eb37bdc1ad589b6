package workflow_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/examples/workflow"
)

// The tests run on the provider that MQ_TEST_DSN names, with what every
// provider has.
var dsn = cmp.Or(os.Getenv("MQ_TEST_DSN"), "mem://workflow")

// fixture is a workflow with queues of its own.
type fixture struct {
	*testing.T
	ctx    context.Context
	cfg    mq.Config
	client *mq.Client
	prefix string
	queues *workflow.Queues // as the test sees them
	dead   deadLetters
}

// setup makes a fixture whose clients have the given interceptors.
func setup(t *testing.T, interceptors ...mq.Interceptor) *fixture {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	f := &fixture{T: t, ctx: ctx, prefix: fmt.Sprintf("t%x_", rand.Uint32())}
	f.cfg = mq.Config{
		Logger:       slog.New(slog.DiscardHandler),
		Interceptors: append([]mq.Interceptor{f.dead.watch}, interceptors...),
	}
	f.client = f.open()
	f.queues = workflow.NewQueues(f.client, f.prefix)
	if err := f.queues.Ensure(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.drop)
	return f
}

func (f *fixture) open() *mq.Client {
	c, err := mq.OpenConfig(dsn, f.cfg)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = c.Close() })
	return c
}

func (f *fixture) drop() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := f.queues.Drop(ctx); err != nil && !errors.Is(err, mq.ErrNotSupported) {
		f.Error(err)
	}
}

// newQueues returns the queues as another process sees them, with a client of
// its own, unless the provider shows different queues to each client.
func (f *fixture) newQueues() *workflow.Queues {
	if !f.client.Caps().Shared {
		return f.queues
	}
	return workflow.NewQueues(f.open(), f.prefix)
}

// start runs a participant until the test ends.
func (f *fixture) start(p interface{ Run(context.Context) error }) {
	ctx, stop := context.WithCancel(f.ctx)
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	f.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			f.Error(err)
		}
	})
}

func (f *fixture) startOrchestrator() {
	f.start(workflow.NewOrchestrator(f.newQueues(), workflow.Config{RetryDelay: 50 * time.Millisecond}))
}

func (f *fixture) startWorkers(n int, steps map[string]workflow.StepFunc) {
	for range n {
		f.start(workflow.NewWorker(f.newQueues(), steps, 2))
	}
}

// submit asks for a folder to be counted.
func (f *fixture) submit(folder string) (taskID string) {
	id := fmt.Sprintf("task-%x", rand.Uint64())
	f.request(workflow.TaskRequestMessage{TaskID: id, CorrelationID: "c-" + id, Folder: folder, Work: f.TempDir()})
	return id
}

func (f *fixture) request(r workflow.TaskRequestMessage) {
	if err := f.queues.Submit(f.ctx, r); err != nil {
		f.Fatal(err)
	}
}

// await waits for tasks and checks what does not depend on how they ended.
func (f *fixture) await(taskIDs ...string) []workflow.TaskFinalizationMessage {
	f.Helper()
	ends, err := f.queues.Await(f.ctx, taskIDs...)
	if err != nil {
		f.Fatalf("%v; %d tasks have ended, dead letters %q", err, len(ends), f.dead.sorted())
	}
	var ms []workflow.TaskFinalizationMessage
	for _, id := range taskIDs {
		if m := ends[id]; m.TaskID != id || m.CorrelationID != "c-"+id {
			f.Errorf("task %s: %+v", id, m)
		}
		ms = append(ms, ends[id])
	}
	return ms
}

// wantWords checks the result of a task.
func (f *fixture) wantWords(m workflow.TaskFinalizationMessage, status workflow.Status, words map[string]int) {
	f.Helper()
	if m.Status != status {
		f.Errorf("status %q, want %q: %+v", m.Status, status, m)
	}
	got, err := workflow.ReadCounts(m.Output)
	if err != nil || !maps.Equal(got, words) {
		f.Errorf("counted %v, want %v: %v", got, words, err)
	}
}

// wantDead waits for dead letters whose reasons begin like this.
func (f *fixture) wantDead(reasons ...string) {
	f.Helper()
	for f.dead.len() < len(reasons) && f.ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	if got := f.dead.sorted(); !slices.EqualFunc(got, reasons, strings.HasPrefix) {
		f.Errorf("dead letters %q, want %q", got, reasons)
	}
}

// texts are files, and the words in them.
type texts struct {
	*testing.T
	folder string
	words  map[string]int
}

// newTexts makes n files.
func newTexts(t *testing.T, n int) *texts {
	x := &texts{t, t.TempDir(), make(map[string]int)}
	vocabulary := strings.Fields("and the of Müller naïve 42 日本 O'Neill don’t q")
	for i := range n {
		var text strings.Builder
		for range 50 + rand.IntN(500) {
			word := vocabulary[rand.IntN(len(vocabulary))]
			x.words[strings.ToLower(word)]++
			text.WriteString(word + []string{" ", "\n", ", ", " - ", ".\r\n", "' "}[rand.IntN(6)])
		}
		x.add(fmt.Sprintf("%02d.txt", i), text.String())
	}
	return x
}

// add adds a file whose words are not to be counted.
func (x *texts) add(name, text string) {
	if err := os.WriteFile(filepath.Join(x.folder, name), []byte(text), 0o600); err != nil {
		x.Fatal(err)
	}
}

// deadLetters are the reasons of what all clients of a fixture have archived.
type deadLetters struct {
	mu      sync.Mutex
	reasons []string
}

func (l *deadLetters) watch(ctx context.Context, c *mq.Call, next func(context.Context) error) error {
	if err := next(ctx); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range c.Settlements {
		if s.Op == mq.OpArchive {
			l.reasons = append(l.reasons, s.Reason)
		}
	}
	return nil
}

func (l *deadLetters) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.reasons)
}

func (l *deadLetters) sorted() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(slices.Values(l.reasons))
}
