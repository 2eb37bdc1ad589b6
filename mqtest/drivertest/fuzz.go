package drivertest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

// Fuzz makes random sequences of operations of the fuzz input and carries them
// out, one after the other, on a queue of h and on a simple model of a queue.
// Every answer must be the model's: messages, read counts, times, errors,
// figures and, at the end, what is left in queue and archive.
//
//	func FuzzDriver(f *testing.F) { drivertest.Fuzz(f, h) }
//
// Without -fuzz it runs the sequences that it has as seeds. With h.Bubble a
// sequence goes through hours, and each moment counts. Otherwise what it
// leaves to a timeout takes some real time, and times are only compared
// roughly.
func Fuzz(f *testing.F, h Harness) {
	f.Helper()
	seeds := fuzzSeeds
	if !h.Bubble {
		seeds = 12 // more of them would only be longer
	}
	for n := range seeds {
		f.Add(fuzzSeed(n))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		if h.Bubble {
			synctest.Test(t, func(t *testing.T) { fuzzQueue(t, h, input) })
			return
		}
		fuzzQueue(t, h, input)
	})
}

const fuzzSeeds = 32

// fuzzSeed is a sequence of operations, longer from seed to seed.
func fuzzSeed(n int) []byte {
	r := rand.New(rand.NewPCG(uint64(n), 0))
	input := make([]byte, 8+16*n)
	for i := range input {
		input[i] = byte(r.Uint32())
	}
	return input
}

// fuzzer carries out operations.
type fuzzer struct {
	testing.TB
	h        Harness
	input    []byte
	caps     driver.Caps
	q, other *mq.Queue
	m        *model
	receipts []mq.Receipt // all there ever were, the last one last
	bodies   int
	log      []string
}

// fuzzLimit bounds a sequence.
func fuzzLimit(h Harness) int {
	if h.Bubble {
		return 1000
	}
	return 40
}

func fuzzQueue(t testing.TB, h Harness, input []byte) {
	c := h.Open(t)
	t.Cleanup(func() { closeClient(t, c) })
	f := &fuzzer{TB: t, h: h, input: input, caps: c.Caps()}
	f.q, f.other = f.ensure(c), f.ensure(c)
	f.m = newModel(f.q.Name(), f.caps, h.Bubble)
	defer f.report()
	for n := 0; len(f.input) > 0 && n < fuzzLimit(h); n++ {
		op := fuzzOps[f.pick(len(fuzzOps))]
		f.log = append(f.log, op.name)
		op.run(f)
		f.tick()
	}
	f.finish()
}

func (f *fuzzer) ensure(c *mq.Client) *mq.Queue {
	q, err := c.EnsureQueue(f.Context(), fmt.Sprintf("fuzz_%08x", rand.Uint32()), mq.QueueOptions{})
	f.must(err)
	return q
}

// report shows the way to a failure.
func (f *fuzzer) report() {
	if !f.Failed() {
		return
	}
	const most = 40
	shown := f.log[max(0, len(f.log)-most):]
	for i, entry := range shown {
		f.Logf("%d: %s", len(f.log)-len(shown)+i+1, entry)
	}
}

// note adds to the log what the operation turned out to be.
func (f *fuzzer) note(format string, args ...any) {
	f.log[len(f.log)-1] += " " + fmt.Sprintf(format, args...)
}

// must ends the sequence if err is not nil: the queue and the model differ.
func (f *fuzzer) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// pick returns a number below n.
func (f *fuzzer) pick(n int) int {
	if len(f.input) == 0 {
		return 0
	}
	b := int(f.input[0])
	f.input = f.input[1:]
	return b % n
}

// tick keeps any two moments of a bubble apart, so that no lease ends just
// when something else happens.
func (f *fuzzer) tick() {
	if f.h.Bubble {
		time.Sleep(time.Millisecond)
	}
}

// long does not end within a sequence of real time.
func (f *fuzzer) long() time.Duration {
	d := time.Hour
	for _, limit := range []time.Duration{f.caps.MaxVisibility, f.caps.MaxHold, f.caps.MaxDelay} {
		if limit > 0 {
			d = min(d, limit)
		}
	}
	return d
}

// short is soon over.
func (f *fuzzer) short() time.Duration { return max(20*time.Millisecond, 2*f.caps.Resolution) }

// duration picks one. In a bubble it may be anything; in real time it ends
// within over, or not at all.
func (f *fuzzer) duration() time.Duration {
	if f.h.Bubble {
		return min(time.Duration(1+f.pick(60))*time.Second, f.long())
	}
	return []time.Duration{f.short(), f.long()}[f.pick(2)]
}

// over lets d pass if it is a short one of real time, so that there is no
// doubt whether it is over.
func (f *fuzzer) over(d time.Duration) {
	if !f.h.Bubble && d == f.short() {
		time.Sleep(2*d + f.caps.Resolution)
	}
}

// body makes one that no other message has: JSON, other text, or neither.
func (f *fuzzer) body() []byte {
	f.bodies++
	switch f.pick(3) {
	case 0:
		return fmt.Appendf(nil, `{"n": %d, "s": "\u00e9 <&>", "big": 12345678901234567890}`, f.bodies)
	case 1:
		return fmt.Appendf(nil, " %d, not JSON ", f.bodies)
	}
	return fmt.Appendf(nil, "%d \xff\x00\x80", f.bodies)
}

// receipt picks one, more often a late one.
func (f *fuzzer) receipt() (r mq.Receipt, ok bool) {
	n := len(f.receipts)
	if n == 0 {
		return "", false
	}
	if f.pick(4) > 0 {
		n = min(n, 6)
	}
	return f.receipts[len(f.receipts)-1-f.pick(n)], true
}

// doubtful reports whether nobody can tell if r still acts.
func (f *fuzzer) doubtful(r mq.Receipt) bool {
	x, err := f.m.holder(r)
	return err == nil && x.nacked
}

// brief is an error as the log has it.
func brief(err error) string {
	for _, known := range []error{mq.ErrMessageNotFound, mq.ErrStaleReceipt, mq.ErrInvalidReceipt} {
		if errors.Is(err, known) {
			text, _, _ := strings.Cut(known.Error(), ":")
			return text
		}
	}
	return fmt.Sprint(err)
}

// same checks an error of one receipt.
func (f *fuzzer) same(got, want error) {
	f.Helper()
	if want == nil && got != nil || !errors.Is(got, want) {
		f.Fatalf("got error %v, want %v", got, want)
	}
}

// errorsOf returns the errors of the n items of a batch.
func errorsOf(err error, n int) []error {
	if batch := (*mq.BatchError)(nil); errors.As(err, &batch) && len(batch.Errs) == n {
		return batch.Errs
	}
	return slices.Repeat([]error{err}, n)
}

// supported ends an operation that the provider does not have.
func (f *fuzzer) supported(err error) bool {
	f.Helper()
	if errors.Is(err, mq.ErrNotSupported) {
		return false
	}
	f.must(err)
	return true
}

// finish gives everything back, receives it and compares what is left.
func (f *fuzzer) finish() {
	f.log = append(f.log, "finish")
	for _, r := range f.receipts {
		if x, err := f.m.holder(r); err == nil && !x.nacked && x.VisibleAt.After(time.Now()) {
			f.settle(mq.Settlement{Receipt: r, Op: mq.OpNack})
		}
	}
	if f.h.Bubble {
		time.Sleep(f.long())
	}
	for len(f.m.visible(time.Now())) > 0 {
		f.take(f.caps.BatchLimit(), f.long())
	}
	f.browse(false)
	f.browse(true)
	f.stats()
}
