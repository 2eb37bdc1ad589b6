package sqlite

import (
	"strings"
	"testing"
	"time"
)

func TestParseDSN(t *testing.T) {
	for dsn, want := range map[string]options{
		"sqlite:///var/lib/app/queue.db":                    {path: "/var/lib/app/queue.db", synchronous: Full},
		"sqlite:////var/lib/queue.db":                       {path: "/var/lib/queue.db", synchronous: Full},
		"sqlite://queue.db":                                 {path: "queue.db", synchronous: Full},
		"sqlite://data/my%20queue%23%3F.db":                 {path: "data/my queue#?.db", synchronous: Full},
		"sqlite://q.db?synchronous=NORMAL&busy_timeout=10s": {path: "q.db", synchronous: Normal, busyTimeout: 10 * time.Second},
		"sqlite://q.db?poll=1ms":                            {path: "q.db", synchronous: Full, poll: time.Millisecond},
	} {
		if got, err := parseDSN(dsn); got != want || err != nil {
			t.Errorf("parseDSN(%q) = %+v, %v", dsn, got, err)
		}
	}
	for dsn, want := range map[string]string{
		"sqlite://": "names no file", "sqlite:///": "names no file", "sqlite://dir/": "names no file", "sqlite:q.db": "names no file",
		"sqlite://:memory:": "mem://", "sqlite://a#b.db": "%23", "sqlite://q.db?synchronous=off": "neither full nor normal",
		"sqlite://q.db?poll=0s": "poll is not a duration", "sqlite://q.db?busy_timeout=soon": "busy_timeout is not a duration",
		"sqlite://q.db?sinchronous=full": `did you mean "synchronous"`,
	} {
		if _, err := parseDSN(dsn); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("parseDSN(%q): %v, want an error with %q", dsn, err, want)
		}
	}
}
