package work

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/internal/chaos/ledger"
)

// Commands of a process, one per line, after a number. It answers each with a line: the
// number, "ok" and a word, or the text of an error. The answer to its start has number 0.
const (
	Progress = "progress" // what each worker has done so far, as name=number
	Quiet    = "quiet"    // stop producing
	Stop     = "stop"     // stop consuming, in order
	Left     = "left"     // how many messages are in the queues
	Drop     = "drop"     // drop the volatile queue, and make it again
	Reopen   = "reopen"   // close the clients and open others
	Final    = "final"    // write down what is there
	Exit     = "exit"
)

// process is the workers of this process.
type process struct {
	cfg     Config
	workers []*worker
	base    resources
}

// worker is a client at work.
type worker struct {
	Worker
	*backend
	*recorder
	starts int
	stop   context.CancelFunc
	all    sync.WaitGroup
}

// Main is the main of a worker process. It returns when its standard input ends, or at the
// command Exit.
func Main(cfg Config) int {
	p := &process{cfg: cfg, base: measure()}
	for _, w := range cfg.Workers {
		one := &worker{Worker: w}
		p.workers = append(p.workers, one)
		if err := one.start(cfg); err != nil {
			fmt.Println(0, oneLine(err))
			return 1
		}
	}
	fmt.Println(0, "ok")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		number, command, _ := strings.Cut(lines.Text(), " ")
		if command == Exit {
			p.leave()
			fmt.Println(number, "ok")
			return 0
		}
		word, err := p.do(command)
		if err != nil {
			fmt.Println(number, oneLine(err))
		} else {
			fmt.Println(number, "ok", word)
		}
	}
	return 2 // the controller is gone
}

func oneLine(err error) string { return "error " + strings.ReplaceAll(err.Error(), "\n", "; ") }

func (p *process) do(command string) (word string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, w := range p.workers {
		switch {
		case command == Progress && w.Role != Keeper:
			word += fmt.Sprintf(" %s=%d", w.Name, w.done.Load())
		case command == Quiet && w.Role == Producer, command == Stop && w.Role == Consumer:
			w.end()
		case command == Reopen && w.Role != Keeper:
			err = errors.Join(err, w.reopen(p.cfg))
		case command == Left && w.Role == Keeper:
			return w.left(ctx)
		case command == Drop && w.Role == Keeper:
			return "", w.drop(ctx)
		case command == Final && w.Role == Keeper:
			return "", w.final(ctx)
		}
	}
	return word, err
}

// leave ends all workers, and writes down what they leave.
func (p *process) leave() {
	for _, w := range p.workers {
		w.end()
	}
	for _, w := range p.workers {
		if err := inTime(w.shut()); err != nil {
			w.Write(ledger.Record{Kind: ledger.Leak, Note: "Close: " + note(err)})
		}
	}
	left := p.base.grown()
	w := p.workers[0]
	for _, what := range left {
		w.Write(ledger.Record{Kind: ledger.Leak, Note: what})
	}
	for _, w := range p.workers {
		w.Write(ledger.Record{Kind: ledger.End})
	}
}

// start begins to work.
func (w *worker) start(cfg Config) (err error) {
	w.starts++
	file, err := ledger.Create(cfg.Ledger, fmt.Sprintf("%s.%d", w.Name, w.starts))
	if err != nil {
		return err
	}
	w.recorder = newRecorder(file, queues(features{groups: true, tx: true, schedules: true}), cfg.Lease)
	intercept := mq.Interceptor(w.intercept)
	if w.Role == Keeper {
		intercept = nil
	}
	if w.backend, err = open(cfg, intercept); err != nil {
		return err
	}
	w.Write(ledger.Record{Kind: ledger.Start})
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	switch w.Role {
	case Producer:
		pause := time.Duration(float64(time.Second) * loops / cfg.Rate)
		p := &producer{backend: w.backend, name: fmt.Sprintf("%s.%d", w.Name, w.starts), pause: pause, seed: cfg.Seed + uint64(ledger.Now())}
		w.all.Go(func() { p.run(ctx) })
	case Consumer:
		c := &consumer{w.backend, w.recorder, cfg.Lease}
		w.all.Go(func() { c.run(ctx) })
	case Keeper:
		return w.ensure()
	}
	return nil
}

// end stops working, in order.
func (w *worker) end() {
	w.stop()
	w.all.Wait()
}

// inTime returns the error of a Close, unless calls did not end in time: a fault may keep
// them from it, and what they leave is seen.
func inTime(err error) error {
	if err != nil && strings.Contains(err.Error(), "did not end in time") {
		return nil
	}
	return err
}

func (w *worker) reopen(cfg Config) error {
	err := inTime(w.shut()) // while it works
	w.end()
	w.Write(ledger.Record{Kind: ledger.End})
	return errors.Join(err, w.start(cfg))
}
