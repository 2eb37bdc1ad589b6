package mqotel_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/mqotel"
)

// TestDocsSpans compares the table of docs/observability.md with the spans that
// each kind of call makes.
func TestDocsSpans(t *testing.T) {
	guide, err := os.ReadFile("../docs/observability.md")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	names := regexp.MustCompile("`([a-z]+)( orders)?`")
	for line := range strings.Lines(string(guide)) {
		cells := strings.Split(line, " | ")
		if len(cells) != 4 || !strings.HasPrefix(line, "| `") || !strings.Contains(cells[0], " orders`") {
			continue
		}
		kinds := regexp.MustCompile("producer|client|consumer").FindAllString(cells[1], -1)
		for _, name := range names.FindAllStringSubmatch(cells[0], -1) {
			for _, kind := range kinds {
				want = append(want, name[1]+" orders "+kind)
			}
		}
	}

	var got []string
	for _, create := range []bool{false, true} {
		l := newLab(t, mqotel.Config{CreateSpans: create})
		_, err := l.client.EnsureQueue(t.Context(), "other", mq.QueueOptions{})
		l.check(err)
		l.send(t.Context(), "1", "2", "3", "4", "5", "6", "7")
		ctx, request := l.traces.Tracer("shop").Start(t.Context(), "checkout")
		_, err = l.queue.Stats(ctx)
		l.check(err)
		ds, err := l.queue.Receive(ctx, mq.ReceiveOptions{Max: 6})
		l.check(err)
		l.check(l.queue.Extend(ctx, time.Minute, ds[0].Receipt))
		l.check(ds[0].Ack(ctx))
		l.check(ds[1].Nack(ctx, 0))
		l.check(ds[2].Archive(ctx, "no"))
		l.check(ds[3].Move(ctx, "other", ""))
		l.check(l.queue.Settle(ctx, mq.Settlement{Receipt: ds[4].Receipt, Op: mq.OpAck}, mq.Settlement{Receipt: ds[5].Receipt, Op: mq.OpAck}))
		request.End()
		for _, s := range l.spans.GetSpans() {
			if strings.HasSuffix(s.Name, " orders") {
				got = append(got, s.Name+" "+s.SpanKind.String())
			}
		}
	}
	got = append(got, "process orders consumer") // TestOneTrace
	slices.Sort(got)
	slices.Sort(want)
	if got, want := slices.Compact(got), slices.Compact(want); !slices.Equal(got, want) {
		t.Errorf("docs/observability.md names the spans\n%q\nthere are\n%q", want, got)
	}
}
