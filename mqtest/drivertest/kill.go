package drivertest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portmq/mq"
)

// Kill proves, for an embedded backend under Caps.Shared and Caps.Durable, that kill -9
// of the processes that work on it loses nothing: it runs the test's own program as a
// child that sends, receives and acks, two at a time, and kills it at a random point of
// its work, 100 times, or 16 with -short. Afterwards no acknowledged send may be lost,
// no acked message may come back, and no message may have been acked twice. Check the
// files in the end, after Kill.
//
// The processes open dsn by mq.Open. Their main is [KillChild], so that the package of
// the test needs
//
//	func TestMain(m *testing.M) {
//		drivertest.KillChild()
//		os.Exit(m.Run())
//	}
func Kill(t *testing.T, dsn string) {
	t.Helper()
	kills := 100
	if testing.Short() {
		kills = 16
	}
	c, err := mq.OpenConfig(dsn, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer closeClient(t, c)
	q, err := c.EnsureQueue(t.Context(), killQueue, mq.QueueOptions{})
	if err != nil {
		t.Fatal(err)
	}
	l := newKillLedger()
	var lanes sync.WaitGroup
	for lane := range 2 {
		lanes.Go(func() {
			for n := range kills / 2 {
				l.runAndKill(t, dsn, fmt.Sprintf("%d-%d", lane, n))
			}
		})
	}
	lanes.Wait()
	l.judge(t, drainKilled(t, q))
}

// Where these are set the program of a test is a child of Kill.
const (
	killDSN  = "MQ_DRIVERTEST_KILL_DSN"
	killName = "MQ_DRIVERTEST_KILL_NAME"
)

const (
	killQueue = "drivertest_kill"
	killLease = time.Second
)

// KillChild is the main of the processes that [Kill] kills. It does not return in one of
// them, and does nothing in any other.
func KillChild() {
	dsn := os.Getenv(killDSN)
	if dsn == "" {
		return
	}
	c, err := mq.Open(dsn)
	if err != nil {
		panic(err)
	}
	w := &killWorker{name: os.Getenv(killName), q: c.Queue(killQueue), groups: c.Caps().Groups}
	for sender := range 3 {
		go w.send(sender)
	}
	w.ack()
}

// killWorker prints a word and a body: "sent" once a send was acknowledged, "got" once a
// message was leased, "acked" once an ack was acknowledged.
type killWorker struct {
	name   string
	q      *mq.Queue
	groups bool
	mu     sync.Mutex // of the standard output
}

func (w *killWorker) say(word, body string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Println(word, body)
}

func (w *killWorker) send(sender int) {
	for n := 0; ; n++ {
		body := fmt.Sprintf("%s.%d.%d", w.name, sender, n)
		padding := strings.Repeat(" ", rand.IntN(3)*2000) // some bodies are large
		m := &mq.Message{Body: []byte(body + padding)}
		if w.groups {
			m.Group = fmt.Sprint(n % 5)
		}
		if _, err := w.q.Send(context.Background(), m); err != nil {
			panic(err)
		}
		w.say("sent", body)
	}
}

func (w *killWorker) ack() {
	for {
		o := mq.ReceiveOptions{Max: min(8, w.q.Client().Caps().BatchLimit()), Visibility: killLease, Wait: time.Second}
		ds, err := w.q.Receive(context.Background(), o)
		if err != nil {
			panic(err)
		}
		for _, d := range ds {
			body := strings.TrimSpace(string(d.Body))
			w.say("got", body)
			switch err := d.Ack(context.Background()); {
			case err == nil:
				w.say("acked", body)
			case !errors.Is(err, mq.ErrStaleReceipt):
				panic(err)
			}
		}
	}
}

// killLedger is what the children have said.
type killLedger struct {
	mu        sync.Mutex
	sent, got map[string]bool
	acked     map[string]int
}

func newKillLedger() *killLedger {
	return &killLedger{sent: make(map[string]bool), got: make(map[string]bool), acked: make(map[string]int)}
}

func (l *killLedger) note(line string) {
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

// runAndKill runs a child, and kills it after a random number of lines.
func (l *killLedger) runAndKill(t *testing.T, dsn, name string) {
	program, err := os.Executable()
	if err != nil {
		t.Error(err)
		return
	}
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Env = append(os.Environ(), killDSN+"="+dsn, killName+"="+name)
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
	more := rand.IntN(300)
	for ; lines.Scan(); more-- {
		if l.note(lines.Text()); more == 0 {
			_ = cmd.Process.Kill()
		}
	}
	_ = cmd.Wait()
	if more >= 0 {
		t.Errorf("process %s ended by itself (does TestMain call drivertest.KillChild?): %v", name, cmd.ProcessState)
	}
}

// judge compares what was said with what is left. A message that a child has got may be
// gone, though the child could not say any more that it was acked.
func (l *killLedger) judge(t testing.TB, left map[string]bool) {
	t.Helper()
	var lost, back, twice int
	for body := range l.sent {
		if !left[body] && !l.got[body] {
			lost++
		}
	}
	for body, n := range l.acked {
		if left[body] {
			back++
		}
		if n > 1 {
			twice++
		}
	}
	t.Logf("%d acknowledged sends, %d acknowledged acks, %d left", len(l.sent), len(l.acked), len(left))
	if len(l.sent) == 0 || len(l.acked) == 0 {
		t.Error("the processes have sent or acked nothing, so that nothing is proven")
	}
	if lost+back+twice > 0 {
		t.Errorf("%d acknowledged sends are lost, %d acked messages came back, %d were acked twice", lost, back, twice)
	}
}

// drainKilled takes every message of q, once the leases of the dead have ended.
func drainKilled(t *testing.T, q *mq.Queue) map[string]bool {
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
		o := mq.ReceiveOptions{Max: min(500, q.Client().Caps().BatchLimit()), Visibility: time.Minute, Wait: 10 * killLease}
		ds, err := q.Receive(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if len(ds) == 0 {
			return left
		}
		for _, d := range ds {
			left[strings.TrimSpace(string(d.Body))] = true
			if err := d.Ack(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}
