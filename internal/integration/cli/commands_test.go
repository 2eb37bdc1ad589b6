package cli

import (
	"bufio"
	"io"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/portmq/mq/internal/integration/pgmq/layouts"
)

// TestInstall: any number of times, and printed for others to run.
func TestInstall(t *testing.T) {
	t.Run("twice", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		s.prints("installed", "install")
		s.prints("installed", "install")
		s.healthy()
		s.prints("QUEUE w", "create", "w")
		s.prints("installed", "install")
		s.healthy()
	})
	t.Run("printed", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		for range 2 {
			s.exec((&tool{t, ""}).must("install", "-print")) // which needs no DSN
		}
		s.exec("SELECT 'pgmq.meta'::regclass, 'pgmq.notify_insert_throttle'::regclass, 'pgmq.mq_notify_insert()'::regprocedure")
		s.healthy()
		s.must("create", "w")
		s.healthy()
	})
	t.Run("beside PGMQ", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		layouts.Functions(t, s.db)
		s.must("install")
		if s.count("SELECT count(*) FROM pg_proc WHERE proname = 'mq_notify_insert'") > 0 {
			t.Error("it changes what PGMQ has installed")
		}
		s.must("create", "w")
		s.healthy()
	})
	t.Run("rabbitmq", func(t *testing.T) {
		t.Parallel()
		d := newDepot(t)
		d.fails(d.run("install"), usage, "rabbitmq needs no installation")
	})
}

// TestCheck ends the check early, since it takes a minute: what has been done by
// then is told, and nothing is left. The suite that it runs has tests of its own.
func TestCheck(t *testing.T) {
	t.Run("pgmq", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		check(s.tool)
		if n := s.count("SELECT count(*) FROM pg_tables WHERE tablename ~ '^[qa]_'"); n > 0 {
			t.Errorf("%d tables of queues are left", n)
		}
	})
	t.Run("rabbitmq", func(t *testing.T) {
		t.Parallel()
		check(newDepot(t).tool)
	})
}

func check(m *tool) {
	m.Helper()
	type line struct {
		Case, Result string
		Capabilities map[string]string
	}
	for wait := time.Second; ; wait *= 2 {
		p := m.start("", "check", "-all", "-o", "json")
		time.Sleep(wait)
		if err := p.Process.Signal(syscall.SIGINT); err != nil {
			m.Fatal(err)
		}
		r := p.end()
		passed, driver := 0, ""
		for _, l := range lines[line](m, r.stdout) {
			if l.Result == "passed" {
				passed++
			}
			driver += l.Capabilities["driver"]
		}
		if passed < 3 && wait < patience/4 {
			continue // the machine is busy
		}
		m.fails(r, interrupted, "interrupted (", " passed, ", ", or were not run")
		if scheme, _, _ := strings.Cut(m.dsn, ":"); passed < 3 || driver != scheme {
			m.Errorf("%d cases have passed on %s", passed, driver)
		}
		return
	}
}

// TestCommands runs each of the commands that have no test of their own.
func TestCommands(t *testing.T) {
	eachProvider(t, func(m *tool) {
		lists := strings.HasPrefix(m.dsn, "pgmq")
		m.prints("QUEUE orders", "create", "orders")
		m.prints("QUEUE bills", "create", "bills")
		m.must("send", "orders", `{"n":1}`, `{"n":2}`, `{"n":3}`)
		m.requireStats("orders", 3)
		if lists {
			m.prints("QUEUE bills orders", "ls")
			m.browse()
		} else {
			for _, args := range [][]string{{"ls"}, {"peek", "orders"}, {"tail", "orders"}} {
				m.fails(m.run(args...), failure, "not supported")
			}
		}
		m.fails(m.run("purge", "orders"), usage, "-yes")
		m.requireStats("orders", 3)
		m.prints("purged 3 messages", "purge", "-yes", "orders")
		m.requireStats("orders", 0)
		m.fails(m.run("drop", "orders"), usage, "-yes")
		m.prints("DROPPED orders bills", "drop", "-yes", "orders", "bills")
		m.fails(m.run("stats", "orders"), failure, "mq create")
	})
}

// requireStats requires that so many messages are visible.
func (m *tool) requireStats(queue string, visible int64) {
	m.Helper()
	type line struct {
		Queue   string
		Visible *int64
	}
	output := m.must("stats", queue, "-o", "json")
	if s := lines[line](m, output); len(s) != 1 || s[0].Queue != queue || s[0].Visible == nil || *s[0].Visible != visible {
		m.Errorf("the stats are %s, want %d visible", output, visible)
	}
}

// browse looks at the messages 1 to 3 of queue orders.
func (m *tool) browse() {
	m.Helper()
	want := regexp.MustCompile(`(?s)^ID +.*BODY\n1 .*\{"n": 1\}\n2 .*\{"n": 2\}\n$`)
	if got := m.must("peek", "orders", "-n", "2"); !want.MatchString(got) {
		m.Errorf("peek shows\n%s", got)
	}
	cmd := m.command("tail", "orders", "-n", "1", "-interval", "10ms", "-o", "json")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		m.Fatal(err)
	}
	in := bufio.NewReader(out)
	for n := 3; n <= 4; n++ {
		line, err := in.ReadString('\n')
		if got := lines[message](m, line); err != nil || len(got) != 1 || got[0].Body.N != n {
			m.Errorf("tail shows %q, %v", line, err)
		}
		if n == 3 {
			m.must("send", "orders", `{"n":4}`)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		m.Fatal(err)
	}
	rest, err := io.ReadAll(in)
	if waited := cmd.Wait(); err != nil || waited != nil || len(rest) > 0 || stderr.Len() > 0 {
		m.Errorf("tail ends with %v, %v, %q and %q", err, waited, rest, stderr.String())
	}
	m.receive("-n", "1", "-visibility", "1ms") // it takes no leases
	m.eventually("the lease is over", func() bool { return len(m.receive("-ack")) == 1 })
}
