package cli

import (
	"math"
	"slices"
	"strings"
	"syscall"
	"testing"
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
	table := m.measure(append(args, "bench", "-duration", "500ms")...)
	for _, part := range measurements {
		if !strings.Contains(table, "\n"+part+" ") {
			m.Errorf("the table has no %s:\n%s", part, table)
		}
	}
	if !strings.HasPrefix(table, "MEASUREMENT  MESSAGES  PER SECOND  P50") || !strings.Contains(table, "\nlatency of load, at ") {
		m.Errorf("the table is\n%s", table)
	}
	output := m.measure(append(args, "bench", "-duration", "500ms", "-rate", "100", "-batch", "5", "-o", "json")...)
	m.requireFigures(output, 5, 50)
}

// measure runs mq bench. A busy machine may keep messages for too long, which
// is told.
func (m *tool) measure(args ...string) (stdout string) {
	m.Helper()
	r := m.run(args...)
	for line := range strings.Lines(r.stderr) {
		if !strings.Contains(line, " had not arrived 5s after the last send and are missing from the figures") {
			m.Errorf("it says %s", line)
		}
	}
	if r.code != ok {
		m.Fatalf("mq %q: exit code %d", args, r.code)
	}
	return r.stdout
}

// benchLine is a measurement of mq bench -o json.
type benchLine struct {
	Measurement      string
	Messages, Behind int
	Batch            int
	Seconds, Rate    float64
	P50              float64 `json:"p50_ms"`
	P99              float64 `json:"p99_ms"`
	Max              float64 `json:"max_ms"`
	Histogram        []struct{ Count int }
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
	if all[0].Messages%batch != 0 || all[1].Messages > all[0].Messages || all[3].Messages+all[3].Behind != load {
		m.Errorf("the messages do not add up:\n%s", output)
	}
}

// TestBenchInterrupted: what was measured is shown, and the queue is dropped.
func TestBenchInterrupted(t *testing.T) {
	t.Run("pgmq", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		s.must("install")
		p := s.start("", "bench", "-queue", "mine", "-duration", "50s")
		s.eventually("messages are sent", func() bool {
			return s.count("SELECT count(*) FROM pg_stat_user_tables WHERE relname = 'q_mine' AND n_tup_ins > 0") > 0
		})
		requireInterrupted(p)
		if n := s.count("SELECT count(*) FROM pg_tables WHERE tablename ~ '^[qa]_'"); n > 0 {
			t.Errorf("%d tables of queues are left", n)
		}
	})
	t.Run("rabbitmq", func(t *testing.T) {
		t.Parallel()
		d := newDepot(t)
		p := d.start("", "bench", "-queue", "mine", "-duration", "50s")
		d.eventually("messages are sent", func() bool { return d.ready("mine") > 0 })
		requireInterrupted(p)
		if d.exists("mine") {
			t.Error("the queue is left")
		}
	})
}

func requireInterrupted(p *process) {
	p.tool.Helper()
	if err := p.Process.Signal(syscall.SIGINT); err != nil {
		p.Fatal(err)
	}
	r := p.end()
	p.fails(r, interrupted, "interrupted (the figures are of what was measured so far)")
	if !strings.Contains(r.stdout, "\nsend ") || strings.Contains(r.stdout, "\nload ") {
		p.Errorf("the table is\n%s", r.stdout)
	}
}
