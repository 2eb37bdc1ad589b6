package docs

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/internal/integration/server"
)

// The commands of the documentation that need a provider, and the examples of
// all commands of mq. internal/repo runs the other ones.

const root = "../../../"

// block is one that is marked to be run here, or SQL.
type block struct{ run, lang, text string }

var fenced = regexp.MustCompile("(?ms)^(?:<!-- run: (\\w+) -->\n)?```(\\w*)\n(.*?)^```$")

// pages returns the blocks of each document that want to be run.
func pages(t *testing.T, want func(block) bool) map[string][]block {
	t.Helper()
	files, err := filepath.Glob(root + "docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string][]block)
	for _, file := range append(files, root+"README.md", root+"CONTRIBUTING.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(file, root)
		for _, m := range fenced.FindAllStringSubmatch(string(text), -1) {
			if b := (block{m[1], m[2], m[3]}); want(b) {
				found[name] = append(found[name], b)
			}
		}
	}
	if len(found) == 0 {
		t.Error("nothing to run")
	}
	return found
}

// tool builds mq, once for all tests.
var tool = sync.OnceValues(func() (dir string, err error) {
	cmd := exec.Command("go", "build", "-o", toolDir, "./cmd/mq")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return toolDir, nil
})

// shop is where a reader runs commands: a directory, and a database with
// queues.
type shop struct {
	*testing.T
	dir      string
	postgres string
	dsn      string
	receipt  string // of message 7
}

// newShop has orders and the queues that the commands name.
func newShop(t *testing.T, commands string) *shop {
	t.Helper()
	s := &shop{T: t, dir: t.TempDir(), postgres: server.Postgres(t).Database(t)}
	s.dsn = "pgmq" + strings.TrimPrefix(s.postgres, "postgres")
	s.fill(commands)
	for name, text := range map[string]string{"cat.png": "\x89PNG", "make-thumbnail.sh": "#!/bin/sh\ncat >>thumbnails"} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// receipt is that of message 7, as the documentation shows it.
const receipt = "orders:p1:7:1:1763800000000000:orders"

// interruptWhen is a function of the shell that runs a command which goes on, and
// interrupts it as soon as a condition is true. What the command prints is also
// in the file shown.
const interruptWhen = `interrupt_when() {
	set -m # without it the command would not heed SIGINT
	"${@:2}" > >(tee shown) &
	local pid=$!
	until eval "$1"; do
		if ! kill -0 $pid || ((SECONDS > 180)); then
			echo "it has ended, or three minutes are over, without: $1" >&2
			kill $pid
			return 1
		fi
		sleep 0.1
	done
	kill -INT $pid
	wait $pid
}
`

// goesOn are commands that go on until they are interrupted, or until there was
// nothing to do for a while, and what is true once they have done their work.
var goesOn = [][2]string{
	{"mq tail orders -n 0 ", "mq send orders {} >sent && test -s shown"},
	{"mq tail ", "test -s shown"},
	{"mq stats -watch ", "test -s shown"},
	{"mq work thumbnails ", "test -s thumbnails"},
	{"mq work orders -timeout ", "test -s ids"},
	{"mq work orders -idle ", "test -s out"},
	{"mq schedule serve", `mq schedule set tick "@every 1s" orders {} && mq peek orders -n 100000 -o json | grep mqcron-name.:.tick >/dev/null`},
	{"mq -dsn mem://demo ui ", listens},
	{"mq ui ", listens},
	{"mq export ", listens},
	{"mq copy rabbitmq://old ", "mq stats -dsn rabbitmq://new orders -o json | grep -q visible.:2"},
}

// listens waits until something listens at the shop's own port, which takes the place of
// those that the documents name.
const listens = ": 2>/dev/null >/dev/tcp/127.0.0.1/PORT"

// freePort returns a port at which nothing listens.
func (s *shop) freePort() string {
	s.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		s.Fatal(err)
	}
	return port
}

// interrupted lets the commands that go on be interrupted.
func interrupted(command string) string {
	var pairs []string
	for _, g := range goesOn { // the first one that fits
		pairs = append(pairs, g[0], "interrupt_when '"+g[1]+"' "+g[0])
	}
	return interruptWhen + strings.NewReplacer(pairs...).Replace(command)
}

// here makes of a command of a document one that works in the shop.
func (s *shop) here(command string) string {
	s.Helper()
	command = interrupted(command)
	quoted := func(text string) string { return "'" + text + "'" }
	for _, r := range [][2]string{
		{"mq copy pgmq:", "mq nack " + receipt + "; mq copy pgmq:"}, // it waits for what is leased
		{"pgmq://app@localhost/shop", quoted(s.dsn)},
		{"pgmq://admin@localhost/shop", quoted(s.dsn)},
		{"psql shop", "psql -qXv ON_ERROR_STOP=1 " + quoted(s.postgres)},
		{receipt, s.receipt},
		{"mq schedule run report", "mq schedule set report @daily orders {}; mq schedule run report"},
		{"mq schedule rm ", "mq schedule set report @daily orders {}; mq schedule rm "},
		// Nobody is there to be asked.
		{"mq drop orders", "mq drop -yes orders"},
		{"mq purge orders", "mq purge -yes orders"},
		{"mq archive purge orders", "mq archive purge -yes orders"},
		// A reader has more time, or is not interrupted.
		{"mq bench ", "mq bench -duration 100ms "},
		{"mq check -o", "mq check mem:// -o"},
		{"seq 1 10000 ", "seq 1 2000 "},
		{"-duration 30s", "-duration 100ms"},
		{"-wait 10s", "-wait 1s"},
		{"-idle 5s", "-idle 1h"},
		{" ui ", " ui -listen 127.0.0.1:PORT "},
		{"mq export ", "mq export -listen 127.0.0.1:PORT "},
		{"-listen :9090", "-listen 127.0.0.1:PORT"},
		{"-listen 127.0.0.1:9090", "-listen 127.0.0.1:PORT"},
		{"PORT", s.freePort()},
	} {
		command = strings.ReplaceAll(command, r[0], r[1])
	}
	vhosts := make(map[string]string)
	return regexp.MustCompile(`rabbitmq://\w+`).ReplaceAllStringFunc(command, func(name string) string {
		if vhosts[name] == "" {
			vhosts[name] = s.vhost()
		}
		return vhosts[name]
	})
}

// vhost makes one with a message in queue orders.
func (s *shop) vhost() (dsn string) {
	s.Helper()
	dsn = server.RabbitMQ(s).Vhost(s)
	c, err := mq.Open(dsn)
	if err != nil {
		s.Fatal(err)
	}
	q, err := c.EnsureQueue(s.Context(), "orders", mq.QueueOptions{})
	if err == nil {
		_, err = q.Send(s.Context(), &mq.Message{Body: []byte(`{"id":1}`)})
	}
	if err = errors.Join(err, c.Close()); err != nil {
		s.Fatal(err)
	}
	return dsn
}

// fill makes queues with messages and dead letters.
func (s *shop) fill(commands string) {
	s.Helper()
	c, err := mq.Open(s.dsn)
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for _, name := range []string{"orders", "invoices", "thumbnails", "images", "copies"} {
		if name != "orders" && !strings.Contains(commands, name) {
			continue
		}
		q, err := c.EnsureQueue(s.Context(), name, mq.QueueOptions{})
		if err == nil && name == "thumbnails" {
			_, err = q.Send(s.Context(), &mq.Message{Body: []byte("cat")})
		}
		if err != nil {
			s.Fatal(err)
		}
	}
	orders := c.Queue("orders")
	var msgs []*mq.Message
	for i := range 20 {
		msgs = append(msgs, &mq.Message{Body: fmt.Appendf(nil, `{"id":%d}`, i+1)})
	}
	if _, err := orders.SendAll(s.Context(), msgs); err != nil {
		s.Fatal(err)
	}
	ds, err := orders.Receive(s.Context(), mq.ReceiveOptions{Max: 20, Visibility: time.Hour})
	if err != nil || len(ds) != 20 {
		s.Fatal(len(ds), err)
	}
	for _, d := range ds {
		switch d.ID {
		case "7":
			s.receipt = "orders:" + string(d.Receipt)
		case "17", "18":
			err = d.Archive(s.Context(), "card declined")
		default:
			err = d.Nack(s.Context(), 0)
		}
		if err != nil {
			s.Fatal(err)
		}
	}
	digits := regexp.MustCompile(`\d{16}`)
	if digits.ReplaceAllString(s.receipt, "") != digits.ReplaceAllString(receipt, "") {
		s.Errorf("the documentation shows receipts as %s, and they are as %s", receipt, s.receipt)
	}
}

// run runs a command of a document.
func (s *shop) run(command string) (stdout string) {
	s.Helper()
	bin, err := tool()
	if err != nil {
		s.Fatal(err)
	}
	for _, program := range []string{"jq", "psql"} {
		if _, err := exec.LookPath(program); err != nil && strings.Contains(command, program+" ") {
			s.Fatalf("%s: install %s first: %v", command, program, err)
		}
	}
	cmd := exec.CommandContext(s.Context(), "bash", "-euo", "pipefail", "-c", s.here(command))
	cmd.Dir = s.dir
	if strings.Contains(command, "mq copy old prod") {
		contexts := fmt.Sprintf(`{"contexts": {"old": %q, "prod": "mem://elsewhere"}}`, s.dsn)
		if err := errors.Join(os.Mkdir(filepath.Join(s.dir, "mq"), 0o700), os.WriteFile(filepath.Join(s.dir, "mq/contexts.json"), []byte(contexts), 0o600)); err != nil {
			s.Fatal(err)
		}
	}
	cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+s.dir, "METRICS_TOKEN=the-token-of-a-scraper", "MQ_DSN="+s.dsn, "OLD_DSN="+s.dsn, "NEW_DSN=mem://elsewhere", "PATH="+bin+":"+os.Getenv("PATH"))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		s.Errorf("%s: %v\n%s%s", command, err, &out, &errs)
	}
	for file, worker := range map[string]string{"thumbnails": "./make-thumbnail.sh", "ids": ">>ids", "out": ">>out"} {
		if text, _ := os.ReadFile(filepath.Join(s.dir, file)); strings.Contains(command, worker) && len(text) == 0 {
			s.Errorf("%s: nothing was worked on", command)
		}
	}
	return out.String()
}

// TestShell runs the commands of each page one after the other.
func TestShell(t *testing.T) {
	for file, blocks := range pages(t, func(b block) bool { return b.run == "pgmq" }) {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			var all strings.Builder
			for _, b := range blocks {
				all.WriteString(b.text)
			}
			s := newShop(t, all.String())
			for _, b := range blocks {
				s.run(b.text)
			}
		})
	}
}

// TestExamples runs what mq help shows, each example in a shop of its own.
func TestExamples(t *testing.T) {
	for _, help := range newShop(t, "").help("") {
		_, text, ok := strings.Cut(help, "\nExamples:\n")
		if !ok {
			continue // the commands themselves have a test that requires them
		}
		text, _, _ = strings.Cut(text, "\n\n")
		for line := range strings.Lines(text) {
			t.Run(strings.TrimSpace(line), func(t *testing.T) {
				if testing.Short() && strings.Contains(line, "mq check ") {
					t.Skip("the full matrix: make test-all")
				}
				t.Parallel()
				newShop(t, line).run(line)
			})
		}
	}
}

// help returns what mq help says of a command, and of those below it.
func (s *shop) help(command string) (texts []string) {
	s.Helper()
	text := s.run("mq help " + command)
	texts = append(texts, text)
	_, list, _ := strings.Cut(text, "\nAvailable Commands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	for line := range strings.Lines(list) {
		texts = append(texts, s.help(strings.TrimSpace(command+" "+strings.Fields(line)[0]))...)
	}
	return texts
}
