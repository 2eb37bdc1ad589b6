package cli

import (
	"slices"
	"strings"
	"testing"
)

// message is what -o json shows.
type message struct {
	ID, Receipt string
	ReadCount   int `json:"read_count"`
	Headers     map[string]string
	Body        struct{ N int }
}

// receive receives messages of queue orders, and returns them by n.
func (m *tool) receive(args ...string) (by map[int]message) {
	m.Helper()
	by = make(map[int]message)
	for _, msg := range lines[message](m, m.must(append([]string{"receive", "orders", "-o", "json"}, args...)...)) {
		by[msg.Body.N] = msg
	}
	return by
}

// TestReceipts: what one command leased others settle.
func TestReceipts(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.must("create", "orders")
	s.mustFeed("{\"n\":0}\n{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n{\"n\":4}\n", "send", "orders", "-")
	got := s.receive("-n", "9", "-visibility", "1h")
	if len(got) != 5 || got[4].ReadCount != 1 || !strings.HasPrefix(got[4].Receipt, "orders:") {
		t.Fatalf("received %+v", got)
	}
	leased := func(n int, condition string) {
		t.Helper()
		if s.count("SELECT count(*) FROM pgmq.q_orders WHERE msg_id = "+got[n].ID+" AND "+condition) != 1 {
			t.Errorf("message %d is not %s", n, condition)
		}
	}
	s.prints("extended 1 message", "extend", "-visibility", "1h", got[0].Receipt)
	leased(0, "vt > now() + interval '59 minutes'")
	s.prints("nacked 1 message", "nack", "-delay", "30m", got[1].Receipt)
	leased(1, "vt BETWEEN now() + interval '29 minutes' AND now() + interval '31 minutes'")
	s.prints("nacked 1 message", "nack", got[2].Receipt)
	again := s.receive("-n", "9", "-visibility", "1h")
	if len(again) != 1 || again[2].ReadCount != 2 {
		t.Fatalf("received again %+v", again)
	}

	// The old receipt of message 2 is stale, the others are not.
	r := s.feed(got[0].Receipt+"\n\n"+got[2].Receipt+"\n"+got[3].Receipt+"\n", "ack", "-")
	s.fails(r, failure, got[2].Receipt+": ", "stale")
	if r.stdout != "acked 2 messages\n" || strings.Contains(r.stderr, got[0].Receipt) || strings.Contains(r.stderr, got[3].Receipt) {
		t.Errorf("ack says %s%s", r.stdout, r.stderr)
	}
	s.fails(s.run("extend", got[3].Receipt), failure, got[3].Receipt, "already settled")
	s.prints("archived 2 messages", "archive", "-reason", "card declined", again[2].Receipt, got[4].Receipt)
	if n := s.count("SELECT count(*) FROM pgmq.q_orders"); n != 1 {
		t.Errorf("%d messages are left, not only the delayed one", n)
	}
	s.archive(again[2].ID, got[4].ID)
}

// archive works on the archive of queue orders, which has messages 2 and 4.
func (s *shop) archive(id2, id4 string) {
	s.Helper()
	archived := lines[message](s.tool, s.must("archive", "ls", "orders", "-o", "json"))
	if !slices.ContainsFunc(archived, func(m message) bool { return m.ID == id4 && m.Body.N == 4 && m.Headers["mq-reason"] == "card declined" }) || len(archived) != 2 {
		s.Fatalf("the archive has %+v", archived)
	}
	if got := s.must("archive", "show", "orders", id2); !strings.Contains(got, "card declined") || !strings.Contains(got, `{"n": 2}`) {
		s.Errorf("it shows\n%s", got)
	}
	s.fails(s.run("archive", "show", "orders", "4711"), failure, "no message 4711", "mq archive ls")
	s.prints("redriven 1 message", "archive", "redrive", "orders", id2)
	if got := s.receive("-ack", "-n", "9"); len(got) != 1 || got[2].ReadCount != 1 {
		s.Errorf("redriven %+v", got)
	}
	s.fails(s.run("archive", "purge", "orders"), usage, "-yes")
	s.prints("purged 0 messages", "archive", "purge", "orders", "-yes", "-older-than", "1h")
	s.prints("purged 1 message", "archive", "purge", "orders", "-yes")
	if n := s.count("SELECT count(*) FROM pgmq.a_orders"); n > 0 {
		s.Errorf("%d archived messages are left", n)
	}
}

// TestReceiptsEnd: where receipts end with the command, the four that take
// them say what to use instead.
func TestReceiptsEnd(t *testing.T) {
	t.Parallel()
	d := newDepot(t)
	d.must("create", "orders")
	d.must("send", "orders", `{"n":7}`)
	r := d.run("receive", "orders", "-o", "json")
	d.fails(r, ok, "rabbitmq gives messages back when this command ends; -ack deletes them")
	receipt := lines[message](d.tool, r.stdout)[0].Receipt
	for _, command := range []string{"ack", "nack", "extend", "archive"} {
		d.fails(d.run(command, receipt), failure, "use mq receive -ack or mq work")
	}
	for _, command := range []string{"ls", "redrive", "purge"} {
		args := map[string][]string{"redrive": {"-all"}, "purge": {"-yes"}}[command]
		d.fails(d.run(append([]string{"archive", command, "orders"}, args...)...), failure, "not supported")
	}
	if got := d.receive("-ack", "-wait", "1m"); len(got) != 1 || got[7].ReadCount < 2 {
		t.Errorf("received %+v", got)
	}
	d.eventually("the message is acked", func() bool { return d.ready("orders") == 0 })
}
