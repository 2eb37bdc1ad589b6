package pgmq

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
)

var oneMinute = driver.ReceiveRequest{Max: 10, Visibility: time.Minute}

// TestReceiveLingers: what a claim has leased when its ctx ends would be lost
// until the timeout. So it goes on for a while, but not for ever.
func TestReceiveLingers(t *testing.T) {
	for _, tt := range []struct {
		name    string
		took    time.Duration // by the server, while the ctx ends after a second
		endless bool          // it does not end
		lost    time.Duration // when the claim is given up; 0 = it is not
	}{
		{"within the grace", 1990 * time.Millisecond, false, 0},
		{"longer", 2010 * time.Millisecond, false, 2 * time.Second},
		{"no end", claimLimit - time.Millisecond, true, 0},
		{"a server that hangs", claimLimit + time.Millisecond, true, claimLimit},
	} {
		for name, claim := range claims {
			t.Run(tt.name+", "+name, func(t *testing.T) {
				var ds []driver.Delivery
				c := call{run: func(r *rig) (err error) {
					ds, err = claim(r)
					return err
				}}
				ran := c.try(t, healthy, func(*testing.T, *rig, error) {})
				at := slices.IndexFunc(ran, func(e exchange) bool {
					return len(e.rows) > 0 && len(e.rows[0]) >= len(leased(1)) && e.text != sqlShape
				})
				c.try(t, func(r *rig) { r.at, r.fault, r.patient = at, late(tt.took), tt.endless }, func(t *testing.T, r *rig, err error) {
					took := time.Since(r.start)
					if tt.lost == 0 && (err != nil || len(ds) == 0 || took != tt.took) {
						t.Errorf("it receives %v after %v: %v", ds, took, err)
					}
					if tt.lost > 0 && (err == nil || ds != nil || took != tt.lost || errors.Is(err, driver.ErrBadConn)) {
						t.Errorf("it returns %v, %v after %v, want an end after %v", ds, err, took, tt.lost)
					}
				})
			})
		}
	}
}

// claims are calls that lease.
var claims = map[string]func(*rig) ([]driver.Delivery, error){
	"receive": func(r *rig) ([]driver.Delivery, error) { return r.Receive(r.ctx, "jobs", oneMinute) },
	"pop":     func(r *rig) ([]driver.Delivery, error) { return r.Pop(r.ctx, "jobs", 10) },
	"groups": func(r *rig) ([]driver.Delivery, error) {
		return r.ReceiveHeads(r.ctx, "jobs", driver.GroupRequest{ReceiveRequest: oneMinute})
	},
	"group": func(r *rig) ([]driver.Delivery, error) {
		return r.ReceiveGroup(r.ctx, "jobs", driver.GroupDrainRequest{ReceiveRequest: oneMinute})
	},
}
