package cli

import (
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestServerDown: a command says so at once, in one line.
func TestServerDown(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := build(); err != nil { // which takes time
		t.Fatal(err)
	}
	for _, scheme := range []string{"pgmq", "rabbitmq"} {
		m := &tool{t, scheme + "://me:s3cret@" + l.Addr().String() + "/none"}
		for _, line := range commandLines(m) {
			t.Run(scheme+" "+line[0], func(t *testing.T) {
				t.Parallel()
				m := &tool{t, m.dsn}
				begin := time.Now()
				r := m.feed("{}\n", line...)
				m.fails(r, failure, "refused")
				if took := time.Since(begin); took > patience/2 {
					t.Errorf("it takes %v", took)
				}
				if r.stdout != "" || strings.Contains(r.stderr, "s3cret") {
					t.Errorf("it prints %s%s", r.stdout, r.stderr)
				}
			})
		}
	}
}

// commandLines are those that need a server, but for what it may not be able
// to do.
func commandLines(m *tool) [][]string {
	all := [][]string{
		{"create", "orders"},
		{"drop", "-yes", "orders"},
		{"purge", "-yes", "orders"},
		{"stats", "orders"},
		{"send", "orders", "-"},
		{"receive", "orders", "-ack"},
		{"work", "orders", "--", "true"},
		{"copy", m.dsn, "mem://to", "-queue", "orders"},
		{"bench", "-duration", "1s"},
		{"check"},
		{"doctor"},
	}
	if strings.HasPrefix(m.dsn, "pgmq") {
		all = append(all, [][]string{
			{"install"},
			{"ls"},
			{"peek", "orders"},
			{"tail", "orders"},
			{"ack", "orders:p1:7:1:1763800000000000:orders"},
			{"archive", "ls", "orders"},
		}...)
	}
	return all
}

// TestWrongPassword: it is not told. The user is wrong, too: a server may trust
// the right one.
func TestWrongPassword(t *testing.T) {
	const wrong = "s3cret-and-wrong"
	eachProvider(t, func(m *tool) {
		u, err := url.Parse(m.dsn)
		if err != nil {
			m.Fatal(err)
		}
		u.User = url.UserPassword("stranger", wrong)
		for _, line := range [][]string{{"send", "orders", "{}"}, {"doctor"}} {
			m.Run(line[0], func(t *testing.T) {
				t.Parallel() // RabbitMQ answers after three seconds
				m := &tool{t, u.String()}
				r := m.run(line...)
				m.fails(r, failure)
				if r.stdout != "" || strings.Contains(r.stderr, wrong) {
					t.Errorf("it prints %s%s", r.stdout, r.stderr)
				}
			})
		}
	})
}

// TestUnknownQueue: whatever wants the queue says how to make it.
func TestUnknownQueue(t *testing.T) {
	eachProvider(t, func(m *tool) {
		m.must("create", "orders")
		for _, line := range [][]string{
			{"send", "order", "{}"},
			{"send", "order", "-"},
			{"receive", "order", "-ack"},
			{"receive", "order", "-pop"},
			{"stats", "order"},
			{"purge", "-yes", "order"},
			{"drop", "-yes", "orders", "order"},
			{"work", "order", "--", "true"},
			{"copy", m.dsn, "mem://to", "-queue", "order"},
			{"doctor", "order"},
		} {
			r := m.feed("{}\n", line...)
			if slices.Contains(line, "-pop") && !strings.HasPrefix(m.dsn, "pgmq") {
				m.fails(r, failure, "not supported")
				continue
			}
			if line[0] == "doctor" && !strings.HasPrefix(m.dsn, "pgmq") {
				r.stderr = "mq: " + r.stdout[strings.LastIndex(r.stdout, "problem"):] // it is a finding
			}
			m.fails(r, failure, "mq create")
		}
		m.requireStats("orders", 0)
	})
}

// TestMalformedLine: those in front of it are sent, and it is said so.
func TestMalformedLine(t *testing.T) {
	eachProvider(t, func(m *tool) {
		m.must("create", "orders")
		r := m.feed("{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n{\"n\":\n{\"n\":5}\n", "send", "orders", "-")
		m.fails(r, usage, "line 4: not JSON", "sent 3 messages, up to line 3")
		m.requireStats("orders", 3)
	})
}
