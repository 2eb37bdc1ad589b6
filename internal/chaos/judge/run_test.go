package judge

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// ledgerOf writes ledgers, by worker.
func ledgerOf(t *testing.T, all map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for worker, lines := range all {
		text := strings.ReplaceAll(strings.TrimSpace(lines), "\n ", "\n") + "\n"
		if err := os.WriteFile(filepath.Join(dir, worker+".ledger"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func run(t *testing.T, all map[string]string) *Verdict {
	t.Helper()
	f := exact
	v, err := Run(ledgerOf(t, all), t.TempDir(), &f)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestRun: histories are put together from the files of all workers.
func TestRun(t *testing.T) {
	v := run(t, map[string]string{
		"p1.1": "1 sb q=q k=a\n 2 so q=q k=a i=1 f=1\n 3 sb q=q k=b\n 4 so q=q k=b i=2 f=3",
		"c1.1": "9 rb q=q t=call\n 20 rv q=q k=a i=1 f=9 t=a r=1 a=1 d=100\n 20 re q=q t=call\n 30 cb q=q k=a t=a o=ack\n 31 co q=q k=a t=a f=30 o=ack",
		"c1.2": "49 rb q=q t=call\n 50 rv q=q k=b i=2 f=49 t=b r=1 a=1 d=100\n 51 re q=q t=call\n 60 cb q=q k=b t=b o=archive\n 65 co q=q k=b t=b f=60 o=archive",
		"keep": "90 ia q=q k=b i=2\n 91 lk e=a_lock",
	})
	if len(v.Breaches) > 0 || v.Sent != 2 || v.Received != 2 || v.Acked != 1 || v.Archived != 1 || v.InArchive != 1 || len(v.Leaks) != 1 {
		t.Errorf("%+v", v)
	}
}

// TestRunFinds: a breach is found whatever file its events are in.
func TestRunFinds(t *testing.T) {
	v := run(t, map[string]string{
		"p1.1": "1 sb q=q k=a g=g n=1\n 2 so q=q k=a i=1 f=1 g=g n=1\n 3 sb q=q k=b g=g n=2\n 4 so q=q k=b i=1 f=3 g=g n=2",
		"c1.1": "20 rv q=q k=a i=1 f=9 t=a r=1 a=1 d=100 g=g",
		"c1.2": "50 rv q=q k=a i=1 f=49 t=b r=2 a=2 u=1 d=100 g=g",
	})
	for rule, n := range map[string]int{"leased twice": 1, "lost": 2, "same ID": 1} {
		if v.Count[rule] != n {
			t.Errorf("%s: %d, want %d\n%v", rule, v.Count[rule], n, v.Breaches)
		}
	}
}

// TestDoubts: a receive of a process that was killed may have leased a message, and so may
// one whose answer was lost, but no other.
func TestDoubts(t *testing.T) {
	sends := "1 sb q=q k=a\n 2 so q=q k=a i=1 f=1"
	again := "50 rv q=q k=a i=1 f=49 t=b r=2 a=2 u=1 d=100\n 60 cb q=q k=a t=b o=ack\n 65 co q=q k=a t=b f=60 o=ack"
	for killed, want := range map[string]int{
		"9 rb q=q t=call": 0,
		"9 rb q=q t=call\n 12 re q=q t=call o=doubt": 0,
		"9 rb q=q t=call\n 12 re q=q t=call":         1,
		"9 rb q=z t=call":                            1,
	} {
		v := run(t, map[string]string{"p1.1": sends, "c1.1": killed, "c2.1": again})
		if v.Count["read count"] != want {
			t.Errorf("%q: %v, want %d", killed, v.Breaches, want)
		}
	}
}

// TestStuck: a worker that does not go on is a breach.
func TestStuck(t *testing.T) {
	if v := run(t, map[string]string{Controller: "1 st k=c1 e=why"}); v.Count["stuck"] != 1 {
		t.Errorf("%v", v.Breaches)
	}
}

func TestRecovery(t *testing.T) {
	v := run(t, map[string]string{
		Controller: "10 fb k=cut\n 20 fh k=cut",
		"p1.1":     "1 sb q=q k=a\n 2 so q=q k=a i=1 f=1\n 22 sb q=q k=b\n 23 so q=q k=b i=2 f=22",
		"p2.1":     "1 sb q=q k=c\n 2 so q=q k=c i=3 f=1",
		"p2.2":     "30 sb q=q k=d\n 33 so q=q k=d i=4 f=30",
		"c1.1":     "5 rv q=q k=a i=1 f=4 t=a r=1 d=100",
		"c2.1":     "25 rv q=q k=b i=2 f=24 t=a r=1 d=100",
	})
	want := Recovery{"cut", 10, 20, 3 * time.Nanosecond, 5 * time.Nanosecond, 13 * time.Nanosecond, -1}
	if len(v.Recoveries) != 1 || v.Recoveries[0] != want {
		t.Errorf("%+v, want %+v", v.Recoveries, want)
	}
}
