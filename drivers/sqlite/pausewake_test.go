package sqlite

import (
	"path/filepath"
	"testing"

	"github.com/portmq/mq/driver"
)

// TestPauseWakes: every change by a provider of this process is known to the others once
// the call has returned, whether or not they wait.
func TestPauseWakes(t *testing.T) {
	path := filepath.ToSlash(filepath.Join(t.TempDir(), "queue.db"))
	var both [2]*Provider
	for i := range both {
		opened, err := sqliteDriver{}.Open("sqlite://"+path, driver.Env{})
		if err != nil {
			t.Fatal(err)
		}
		both[i] = opened.(*Provider)
		defer func() { _ = both[i].Close() }()
		if err := both[i].EnsureQueue(t.Context(), "q", driver.QueueOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for name, change := range map[string]func() error{
		"pause":  func() error { return both[0].SetPaused(t.Context(), "q", true, "") },
		"resume": func() error { return both[0].SetPaused(t.Context(), "q", false, "") },
	} {
		woken(t, name, change, both[:])
	}
	woken(t, "drop", func() error { return both[0].DropQueue(t.Context(), "q") }, both[:])
}

func woken(t *testing.T, name string, change func() error, all []*Provider) {
	t.Helper()
	if err := change(); err != nil {
		t.Fatal(err)
	}
	for i, p := range all {
		select {
		case <-p.pauses: // as AwaitPause receives it
		default:
			t.Errorf("%s: provider %d was not woken", name, i)
		}
	}
}
