package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/portmq/mq"
)

// latency measures how soon an idle worker in another process handles what is
// sent, and how much it asks of the server while nothing is.
func latency(ctx context.Context, l *lab) ([]row, error) {
	q, err := l.client.EnsureQueue(ctx, "orders", mq.QueueOptions{})
	if err != nil {
		return nil, err
	}
	took, err := l.wakes(ctx, q)
	if err != nil {
		return nil, err
	}
	idle, err := l.idle(ctx)
	if err != nil {
		return nil, err
	}
	const what = "send to handler in another process, 100/s, "
	return []row{
		within(what+"p50", quantile(took, 0.5), 4*time.Millisecond),
		within(what+"p99", quantile(took, 0.99), 20*time.Millisecond),
		{what: "queries of an idle consumer", ours: fmt.Sprintf("%.2f/s", idle), bar: "<= 0.2/s", met: idle <= 0.2},
	}, nil
}

// wakes returns how long each message took to a worker.
func (l *lab) wakes(ctx context.Context, q *mq.Queue) ([]time.Duration, error) {
	w, err := startWorker(ctx, l.url)
	if err != nil {
		return nil, err
	}
	n := l.size(2000)
	pause(ctx, 2*time.Second) // for it to be idle
	err = sendSteadily(ctx, q, n)
	pause(ctx, time.Second)
	took, stopErr := w.stop()
	if err := errors.Join(err, stopErr); err != nil {
		return nil, err
	}
	if len(took) != n {
		err = fmt.Errorf("the worker handled %d messages of %d", len(took), n)
	}
	return took, err
}

// sendSteadily sends 100 messages a second.
func sendSteadily(ctx context.Context, q *mq.Queue, n int) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range n {
		<-tick.C
		if _, err := mq.Of[stamped](q).Send(ctx, stamped{time.Now(), riverBody.Pad}); err != nil {
			return err
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// idle returns how many queries a second a worker issues on a quiet queue.
func (l *lab) idle(ctx context.Context) (float64, error) {
	m, err := openMeter(l.url)
	if err != nil {
		return 0, err
	}
	defer m.close()
	w, err := startWorker(ctx, m.url)
	if err != nil {
		return 0, err
	}
	pause(ctx, l.span(10*time.Second)) // for it to settle down
	before, d := m.queries.Load(), l.span(60*time.Second)
	pause(ctx, d)
	n := m.queries.Load() - before
	_, err = w.stop()
	return float64(n) / d.Seconds(), err
}

// stamped is a message that says when it was sent.
type stamped struct {
	At  time.Time `json:"at"`
	Pad string    `json:"pad"`
}

// workerEnv holds the DSN in a process that is a worker.
const workerEnv = "MQ_BENCH_WORKER"

// worker is this program in another process, where it consumes.
type worker struct {
	cmd *exec.Cmd
	in  io.Closer
	out *json.Decoder
}

func startWorker(ctx context.Context, u *url.URL) (*worker, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), workerEnv+"="+mqDSN(u))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &worker{cmd, in, json.NewDecoder(out)}, cmd.Start()
}

// stop returns how long each message was on its way.
func (w *worker) stop() (took []time.Duration, err error) {
	_ = w.in.Close()
	err = w.out.Decode(&took)
	if waitErr := w.cmd.Wait(); waitErr != nil {
		err = waitErr
	}
	return took, err
}

// work is the worker's main function: it consumes until in ends.
func work(ctx context.Context, in io.Reader, out io.Writer) error {
	client, err := mq.Open(os.Getenv(workerEnv))
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, in)
		stop()
	}()
	var mu sync.Mutex
	took := []time.Duration{}
	handler := func(_ context.Context, m stamped) error {
		mu.Lock()
		defer mu.Unlock()
		took = append(took, time.Since(m.At))
		return nil
	}
	err = mq.Of[stamped](client.Queue("orders")).Consume(ctx, handler, mq.ConsumerConfig{})
	if err == nil {
		err = json.NewEncoder(out).Encode(took)
	}
	_ = client.Close()
	return err
}
