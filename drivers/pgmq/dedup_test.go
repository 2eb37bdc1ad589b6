package pgmq

import (
	"testing"
	"time"

	"github.com/portmq/mq/driver"
)

// TestKeysHang: the looks for the tables of keys and of bindings end by themselves.
func TestKeysHang(t *testing.T) {
	for text, run := range map[string]func(*rig) error{
		"has table": func(r *rig) error {
			return second(r.SendUnique(r.ctx, "jobs", []driver.Message{{Body: []byte("1"), DedupKey: "k", DedupFor: time.Second}}))
		},
		"has bindings": publishes(body("1")),
	} {
		t.Run(text, func(t *testing.T) {
			onRig(t, func(t *testing.T, r *rig) {
				r.add(statement(text, nil), queued{took: time.Hour})
				requireErr(t, run(r), driver.ErrBadConn)
				if took := time.Since(r.start); took > probeLimit+time.Second {
					t.Errorf("it takes %v", took)
				}
			})
		})
	}
}
