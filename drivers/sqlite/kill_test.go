package sqlite_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portmq/mq"
)

// childDSN is set where the test's program is to be a process of the storm.
const (
	childDSN      = "MQ_SQLITE_TEST_CHILD"
	childReadOnly = "MQ_SQLITE_TEST_READ_ONLY" // to be a process that may not write
)

func TestMain(m *testing.M) {
	if dsn := os.Getenv(childDSN); dsn != "" {
		child(dsn, os.Getenv(childDSN+"_NAME"))
	}
	if dsn := os.Getenv(childReadOnly); dsn != "" {
		c, err := mq.Open(dsn)
		if err == nil {
			err = c.Ping(context.Background())
		}
		fmt.Println(err)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child sends and acks until it is killed. It prints a word and a body: "sent" once a
// send was acknowledged, "got" once a message was leased, "acked" once an ack was
// acknowledged.
func child(dsn, name string) {
	c, err := mq.Open(dsn)
	if err != nil {
		panic(err)
	}
	q := c.Queue("storm")
	var mu sync.Mutex
	say := func(word, body string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Println(word, body)
	}
	for s := range 3 {
		go func() {
			for n := 0; ; n++ {
				body := fmt.Sprintf("%s.%d.%d", name, s, n)
				padding := strings.Repeat(" ", rand.IntN(3)*2000) // some bodies are large
				if _, err := q.Send(context.Background(), &mq.Message{Body: []byte(body + padding), Group: fmt.Sprint(n % 5)}); err != nil {
					panic(err)
				}
				say("sent", body)
			}
		}()
	}
	for {
		ds, err := q.Receive(context.Background(), mq.ReceiveOptions{Max: 8, Visibility: time.Second, Wait: time.Second})
		if err != nil {
			panic(err)
		}
		for _, d := range ds {
			body := strings.TrimSpace(string(d.Body))
			say("got", body)
			switch err := d.Ack(context.Background()); {
			case err == nil:
				say("acked", body)
			case !errors.Is(err, mq.ErrStaleReceipt):
				panic(err)
			}
		}
	}
}

// ledger is what the processes of a storm have said.
type ledger struct {
	mu    sync.Mutex
	sent  map[string]bool
	got   map[string]bool
	acked map[string]int
}

func (l *ledger) note(line string) {
	word, body, _ := strings.Cut(line, " ")
	l.mu.Lock()
	defer l.mu.Unlock()
	switch word {
	case "sent":
		l.sent[body] = true
	case "got":
		l.got[body] = true
	case "acked":
		l.acked[body]++
	}
}

// TestKilled kills processes that work on one file, two at a time, at random points of
// their work: nothing acknowledged is lost, nothing acked comes back, no ack acts on a
// lease that is not its own, and the file stays whole.
func TestKilled(t *testing.T) {
	kills := 100
	if testing.Short() {
		kills = 16
	}
	path := filepath.Join(t.TempDir(), "storm.db")
	c := open(t, path)
	q, err := c.EnsureQueue(t.Context(), "storm", mq.QueueOptions{})
	if err != nil {
		t.Fatal(err)
	}
	l := &ledger{sent: make(map[string]bool), got: make(map[string]bool), acked: make(map[string]int)}
	var all sync.WaitGroup
	for lane := range 2 {
		all.Go(func() {
			for n := range kills / 2 {
				runAndKill(t, path, fmt.Sprintf("%d-%d", lane, n), l)
			}
		})
	}
	all.Wait()
	l.judge(t, drainAll(t, q))
	inOrder(t, path)
}

// runAndKill runs a child, and kills it after a random number of lines.
func runAndKill(t *testing.T, path, name string, l *ledger) {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childDSN+"="+dsn(path), childDSN+"_NAME="+name)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Error(err)
		return
	}
	lines := bufio.NewScanner(out)
	for n := rand.IntN(300); lines.Scan(); n-- {
		if l.note(lines.Text()); n == 0 {
			_ = cmd.Process.Kill()
		}
	}
	_ = cmd.Wait()
	if !strings.Contains(cmd.ProcessState.String(), "killed") {
		t.Errorf("process %s ended by itself: %v", name, cmd.ProcessState)
	}
}

// judge compares what was said with what is left.
func (l *ledger) judge(t *testing.T, left map[string]bool) {
	t.Helper()
	lost := 0
	for body := range l.sent {
		if !left[body] && !l.got[body] {
			lost++
		}
	}
	back, twice := 0, 0
	for body, n := range l.acked {
		if left[body] {
			back++
		}
		if n > 1 {
			twice++
		}
	}
	t.Logf("%d acknowledged sends, %d acknowledged acks, %d left", len(l.sent), len(l.acked), len(left))
	if lost+back+twice > 0 || len(l.sent) == 0 || len(l.acked) == 0 {
		t.Errorf("%d acknowledged sends are lost, %d acked messages came back, %d were acked twice", lost, back, twice)
	}
}

// drainAll takes every message of q, those included whose leases go on.
func drainAll(t *testing.T, q *mq.Queue) map[string]bool {
	t.Helper()
	left := make(map[string]bool)
	for {
		s, err := q.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s.Total == 0 {
			return left
		}
		ds, err := q.Receive(t.Context(), mq.ReceiveOptions{Max: 500, Wait: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range ds {
			left[strings.TrimSpace(string(d.Body))] = true
			if err := d.Ack(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// open opens a client of a file that is closed with the test.
func open(t testing.TB, path string) *mq.Client {
	t.Helper()
	c, err := mq.Open(dsn(path))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}
