package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/portmq/mq/internal/chaos/ledger"
)

// storm lets the faults happen: those of workers, and those of the backend, side by side.
func (r *runner) storm(ctx context.Context) {
	faults, skips := r.backend.faults(r)
	r.skips = append(r.skips, skips...)
	var lanes sync.WaitGroup
	for i, faults := range [][]*fault{r.workerFaults(), faults} {
		all := plan(r.seed, i, r.duration, only(faults, r.options.faults))
		for _, p := range all {
			r.printf("  %v\n", p)
		}
		lanes.Go(func() { r.lane(ctx, all) })
	}
	begin := time.Now()
	lanes.Wait()
	sleep(ctx, r.duration-time.Since(begin))
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// lane lets faults happen one after the other. On a slow machine they come late.
func (r *runner) lane(ctx context.Context, all []planned) {
	begin := time.Now()
	for _, p := range all {
		sleep(ctx, p.at-time.Since(begin))
		if ctx.Err() != nil || time.Since(begin) > r.duration {
			return
		}
		if err := r.strike(ctx, p); err != nil {
			r.note(p.name, err)
		}
	}
}

func (r *runner) note(name string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if errors.Is(err, errSkipped) {
		r.skips = append(r.skips, skipped{name, strings.TrimPrefix(err.Error(), errSkipped.Error()+": ")})
		return
	}
	r.printf("  %s: %v\n", name, err)
	r.failed = append(r.failed, fmt.Errorf("%s: %w", name, err))
}

// limit bounds the start of a fault, and its end.
const limit = 2 * time.Minute

// strike makes a fault happen, and heals it.
func (r *runner) strike(ctx context.Context, p planned) error {
	ctx, cancel := context.WithTimeout(ctx, p.hold+2*limit)
	defer cancel()
	rec := ledger.Record{At: ledger.Now(), Kind: ledger.FaultBegin, Key: p.name, Receipt: r.next()}
	r.ledger.Write(rec)
	heal, err := p.apply(ctx, pick{rngOf(p.seed), p.hold})
	if err == nil {
		sleep(ctx, p.hold-time.Duration(ledger.Now()-rec.At))
	}
	if heal != nil { // also when the run is interrupted
		healing, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
		defer cancel()
		err = errors.Join(err, heal(healing))
	}
	rec.Kind, rec.At, rec.For = ledger.Healed, 0, aftermath(p.fault)
	r.ledger.Write(rec)
	return err
}

func (r *runner) next() string {
	r.numbers.Lock()
	defer r.numbers.Unlock()
	r.number++
	return strconv.Itoa(r.number)
}

// aftermath is how long after its end a fault may still cost a connection, where that
// costs leases. A connection that has fallen silent is found dead by its heartbeats.
func aftermath(f *fault) time.Duration {
	if strings.Contains(f.name, "fr") || strings.Contains(f.name, "silence") { // freeze, frozen
		return 25 * time.Second
	}
	return 4 * time.Second
}
