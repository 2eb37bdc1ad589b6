package cli

import (
	"math"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// measurements are the parts of mq bench.
var measurements = []string{"send", "receive+ack", "end-to-end", "load"}

func TestBench(t *testing.T) {
	t.Run("mem", func(t *testing.T) {
		t.Parallel()
		bench(&tool{t, "mem://bench"})
	})
	t.Run("pgmq", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		bench(s.tool)
		if n := s.count("SELECT count(*) FROM pg_tables WHERE tablename ~ '^[qa]_'"); n > 0 {
			t.Errorf("%d tables of queues are left", n)
		}
	})
	t.Run("rabbitmq", func(t *testing.T) {
		t.Parallel()
		d := newDepot(t)
		bench(d.tool, "-queue", "mine")
		for _, queue := range []string{"mine", "mine.archive"} {
			if d.exists(queue) {
				t.Errorf("queue %s is left", queue)
			}
		}
	})
}

func bench(m *tool, args ...string) {
	m.Helper()
	const shown = "\nlatency of load, at "
	_, table := m.measure(func(output string) bool { return strings.Contains(output, shown) }, args...)
	for _, part := range measurements {
		if !strings.Contains(table, "\n"+part+" ") {
			m.Errorf("the table has no %s:\n%s", part, table)
		}
	}
	if !strings.HasPrefix(table, "MEASUREMENT  MESSAGES  PER SECOND  P50") || !strings.Contains(table, shown) {
		m.Errorf("the table is\n%s", table)
	}
	d, output := m.measure(func(output string) bool {
		return !slices.ContainsFunc(lines[benchLine](m, output), func(l benchLine) bool { return l.Messages == 0 })
	}, append(args, "-rate", "100", "-batch", "5", "-o", "json")...)
	m.requireFigures(output, 5, int(100*d.Seconds()))
}

// measure runs mq bench, for longer and longer until a busy machine has done
// enough. Messages that are sent or arrive too late are told.
func (m *tool) measure(enough func(stdout string) bool, args ...string) (d time.Duration, stdout string) {
	m.Helper()
	for d = 250 * time.Millisecond; ; d *= 2 {
		r := m.run(append([]string{"bench", "-duration", d.String()}, args...)...)
		for line := range strings.Lines(r.stderr) {
			if !strings.Contains(line, " had not arrived 5s after the last send and are missing from the figures") &&
				!strings.Contains(line, " were due but not sent 5s after the end: the rate is too high") {
				m.Errorf("it says %s", line)
			}
		}
		if r.code != ok {
			m.Fatalf("mq bench %q: exit code %d", args, r.code)
		}
		if enough(r.stdout) || d >= 16*time.Second {
			return d, r.stdout
		}
	}
}

// benchLine is a measurement of mq bench -o json.
type benchLine struct {
	Measurement              string
	Messages, Behind, Unsent int
	Batch                    int
	Seconds, Rate            float64
	P50                      float64 `json:"p50_ms"`
	P99                      float64 `json:"p99_ms"`
	Max                      float64 `json:"max_ms"`
	Histogram                []struct{ Count int }
}

// requireFigures requires that the figures add up, of which the last are those
// of so many messages.
func (m *tool) requireFigures(output string, batch, load int) {
	m.Helper()
	all := lines[benchLine](m, output)
	var parts []string
	for _, l := range all {
		parts = append(parts, l.Measurement)
		sum := 0
		for _, b := range l.Histogram {
			sum += b.Count
		}
		if sum != l.Messages || l.Messages == 0 || l.Batch != batch || math.Abs(l.Rate*l.Seconds-float64(l.Messages)) > 1e-6*l.Rate ||
			l.P50 <= 0 || l.P50 > l.P99 || l.P99 > l.Max {
			m.Errorf("%+v does not add up: %d in the histogram", l, sum)
		}
	}
	if !slices.Equal(parts, measurements) {
		m.Fatalf("it measures %q", parts)
	}
	if all[0].Messages%batch != 0 || all[1].Messages > all[0].Messages || all[3].Messages+all[3].Behind+all[3].Unsent != load {
		m.Errorf("the messages do not add up:\n%s", output)
	}
}

// TestBenchInterrupted: what was measured is shown, and the queue is dropped.
func TestBenchInterrupted(t *testing.T) {
	t.Run("pgmq", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		s.must("install")
		p := s.start("", "bench", "-queue", "mine", "-duration", "1h")
		s.eventually("messages are sent", func() bool {
			return s.count("SELECT count(*) FROM pg_stat_user_tables WHERE relname = 'q_mine' AND n_tup_ins > 0") > 0
		})
		requireInterrupted(p, syscall.SIGINT)
		if n := s.count("SELECT count(*) FROM pg_tables WHERE tablename ~ '^[qa]_'"); n > 0 {
			t.Errorf("%d tables of queues are left", n)
		}
	})
	t.Run("rabbitmq", func(t *testing.T) {
		t.Parallel()
		d := newDepot(t)
		p := d.start("", "bench", "-queue", "mine", "-duration", "1h")
		d.eventually("messages are sent", func() bool { return d.ready("mine") > 0 })
		requireInterrupted(p, syscall.SIGHUP)
		if d.exists("mine") {
			t.Error("the queue is left")
		}
	})
}

func requireInterrupted(p *process, by syscall.Signal) {
	p.tool.Helper()
	if err := p.Process.Signal(by); err != nil {
		p.Fatal(err)
	}
	r := p.end()
	p.fails(r, interrupted, "interrupted (the figures are of what was measured so far)")
	if !strings.Contains(r.stdout, "\nsend ") || strings.Contains(r.stdout, "\nload ") {
		p.Errorf("the table is\n%s", r.stdout)
	}
}
