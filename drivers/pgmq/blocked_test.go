package pgmq

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

// TestBlockedNamesTheSession: a call that ends by its deadline names the session that
// has locked the queue, unless it had too little time to be blocked, or its caller has
// left. The look at who that is does not take long if it hangs.
func TestBlockedNamesTheSession(t *testing.T) {
	lockers := statement("lockers", nil)
	locker := []values{{int64(4711), "psql", "idle in transaction", 12.0}}
	silent := func(ctx context.Context, _ []values) ([]values, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	for _, c := range []call{
		{name: "Send", run: sends(body(secret))},
		{name: "Stats", run: func(r *rig) error { return second(r.Stats(r.ctx, "jobs")) }},
		{name: "PurgeQueue", run: purges},
		{name: "Receive", run: func(r *rig) error { return second(r.Receive(r.ctx, "jobs", oneMinute)) }},
	} {
		for name, tt := range map[string]struct {
			limit        time.Duration
			leaves, hang bool
			names        bool
		}{
			"deadline": {limit: 2 * time.Second, names: true},
			"short":    {limit: 100 * time.Millisecond, names: c.name == "Receive"}, // a claim has a second more
			"canceled": {limit: 2 * time.Second, leaves: true},
			"hangs":    {limit: 2 * time.Second, hang: true},
		} {
			t.Run(c.name+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, c)
					r.known("jobs")
					r.fault, r.dead, r.patient = func(ctx context.Context, rows []values) ([]values, error) {
						if r.ran[len(r.ran)-1].text == lockers && !tt.hang {
							return locker, nil
						}
						return silent(ctx, rows)
					}, true, true
					ctx, cancel := context.WithTimeout(t.Context(), tt.limit)
					if tt.leaves {
						ctx, cancel = context.WithCancel(t.Context())
						time.AfterFunc(tt.limit, cancel)
					}
					defer cancel()
					r.ctx = ctx
					begun := time.Now()
					err := c.run(r)
					named := err != nil && strings.Contains(err.Error(), `session 4711 of "psql", idle in transaction, in a transaction of 12s`)
					if named != tt.names || errors.Is(err, driver.ErrBadConn) {
						t.Errorf("error is %v, after %v", err, r.texts())
					}
					if took := time.Since(begun); took > tt.limit+claimGrace+tellGrace {
						t.Errorf("it takes %v", took)
					}
					synctest.Wait() // database/sql gives connections back in goroutines of its own
					r.released()
				})
			})
		}
	}
}
