package judge

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	"github.com/portmq/mq/internal/chaos/ledger"
)

// exact are the facts of a provider that promises everything.
var exact = Facts{ExactReads: true, Attempts: true, AtomicArchive: true, Portable: true, Every: 2}

func with(change func(f *Facts)) *Facts {
	f := exact
	change(&f)
	return &f
}

// history reads events from lines. They are of queue q, key k and worker w unless they
// say otherwise.
func history(t *testing.T, lines string) History {
	t.Helper()
	h := History{Subject: "it"}
	for line := range strings.Lines(lines) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		r, err := ledger.Parse(line)
		if err != nil {
			t.Fatal(err)
		}
		r.Queue, r.Key, r.Worker = cmp.Or(r.Queue, "q"), cmp.Or(r.Key, "k"), cmp.Or(r.Worker, "w")
		h.Records = append(h.Records, r)
	}
	return h
}

// Pieces of ledgers. The message has ID 1 and group g, and a lease lasts 100.
const (
	sent     = "1 sb g=g n=1\n 5 so i=1 f=1 g=g n=1\n"
	received = "20 rv i=1 f=10 t=a r=1 a=1 d=100 g=g\n"
	acked    = "30 cb t=a o=ack\n 35 co t=a o=ack f=30\n"
	nacked   = "30 cb t=a o=nack\n 35 co t=a o=nack f=30\n"
	given    = "30 cb t=a o=uncounted\n 35 co t=a o=uncounted f=30\n" // back
	shelved  = "30 cb t=a o=archive\n 35 co t=a o=archive f=30\n"
)

type judged struct {
	name  string
	rule  rule
	facts *Facts
	lines string
	want  string // the rules that are broken, with commas
}

var messageCases = []judged{
	{"sent, received, acked", Lost, nil, sent + received + acked, ""},
	{"acked before the receive was written down", Lost, nil, sent + "15 cb t=a o=ack\n 19 co t=a o=ack f=15\n" + received, ""},
	{"in the queue", Lost, nil, sent + "90 iq i=1", "stalled"},
	{"in the archive", Lost, nil, sent + received + shelved + "90 ia i=1", ""},
	{"never delivered", Lost, nil, sent, "lost"},
	{"never delivered, and unknown", Lost, nil, "1 sb\n 5 su f=1", ""},
	{"never delivered, and its sender was killed", Lost, nil, "1 sb", ""},
	{"never settled, and gone", Lost, nil, sent + received, "lost"},
	{"given back, and gone", Lost, nil, sent + received + nacked, "lost"},
	{"settled too late, and gone", Lost, nil, sent + received + "30 cb t=a o=ack\n 35 cs t=a o=ack f=30", "lost"},
	{"not settled for sure, and gone", Lost, nil, sent + received + "30 cb t=a o=ack\n 35 cf t=a o=ack f=30", "lost"},
	{"settled without an answer, and gone", Lost, nil, sent + received + "30 cb t=a o=ack\n 35 cu t=a o=ack f=30", ""},
	{"settled by a process that was killed, and gone", Lost, nil, sent + received + "30 cb t=a o=ack", ""},
	{"nacked by a process that was killed, and gone", Lost, nil, sent + received + "30 cb t=a o=nack", "lost"},
	{"archived, and gone", Lost, nil, sent + received + shelved, "lost"},
	{"in the archive twice", Lost, nil, sent + received + shelved + "90 ia i=1\n 91 ia i=1", "archived twice"},
	{"in the archive and in the queue", Lost, nil, sent + received + shelved + "90 ia i=1\n 91 iq i=1", "stalled,archived twice"},
	{
		"in the archive twice, which is allowed", Lost, with(func(f *Facts) { f.AtomicArchive = false }),
		sent + received + shelved + "90 ia i=1\n 91 ia i=1", "",
	},
	{"dropped with its queue", Lost, with(func(f *Facts) { f.Drops = []Span{{Queue: "q", From: 3, To: 6}} }), sent, ""},
	{"sent after the queue was dropped", Lost, with(func(f *Facts) { f.Drops = []Span{{Queue: "q", From: -3, To: 0}} }), sent, "lost"},
	{"another queue was dropped", Lost, with(func(f *Facts) { f.Drops = []Span{{Queue: "other", From: 3, To: 6}} }), sent, "lost"},

	{"one message", StoredOnce, nil, sent + received, ""},
	{"two messages", StoredOnce, nil, sent + "7 rv i=1 f=6 t=a r=1\n 9 rv i=2 f=6 t=b r=1", "stored twice"},
	{"two messages, one in the archive", StoredOnce, nil, sent + "7 rv i=1 f=6 t=a r=1\n 9 ia i=2", "stored twice"},
	{"a key that is sent twice", StoredOnce, nil, sent + "11 sb\n 15 so i=1 f=11 o=duplicate", ""},
	{"a key that is fired twice", StoredOnce, nil, sent + "11 sb\n 15 so i=1 f=11", "stored twice"},
	{"a key with two IDs", StoredOnce, nil, sent + "11 sb\n 15 so i=2 f=11 o=duplicate", "stored twice"},
	{"a first send without an answer", StoredOnce, nil, "1 sb\n 5 su f=1\n 11 sb\n 15 so i=1 f=11 o=duplicate", ""},
	{"refused", StoredOnce, nil, "1 sb\n 5 sf f=1", ""},
	{"refused and delivered", StoredOnce, nil, "1 sb\n 5 sf f=1\n" + received, "refused and stored"},
	{"refused and in the archive", StoredOnce, nil, "1 sb\n 5 sf f=1\n 7 ia i=1", "refused and stored"},
	{"refused, then tried again without an answer", StoredOnce, nil, "1 sb\n 5 sf f=1\n 6 sb\n 7 su f=6\n" + received, ""},
	{"refused, then tried again by a process that was killed", StoredOnce, nil, "1 sb\n 5 sf f=1\n 6 sb\n" + received, ""},
	{"sent by nobody", StoredOnce, nil, received, "phantom"},

	{"a body as it was sent", Intact, nil, sent + received, ""},
	{"another body", Intact, nil, sent + received + "20 bc i=1 e=17_bytes", "corrupt"},
}

var leaseCases = []judged{
	{"acked", SettledOnce, nil, sent + received + acked, ""},
	{"acked twice by one delivery", SettledOnce, nil, sent + received + acked + "40 cb t=a o=ack\n 41 co t=a o=ack f=40", "settled twice"},
	{"acked and archived", SettledOnce, nil, sent + received + acked + "40 cb t=a o=archive\n 41 co t=a o=archive f=40", "settled twice"},
	{"delivered after an ack", SettledOnce, nil, sent + received + acked + "60 rv i=1 f=50 t=b r=2 d=100", "came back"},
	{"delivered after an archive", SettledOnce, nil, sent + received + shelved + "60 rv i=1 f=50 t=b r=2 d=100", "came back"},
	{"delivered after a nack", SettledOnce, nil, sent + received + nacked + "60 rv i=1 f=50 t=b r=2 d=100", ""},
	{"delivered after an ack without an answer", SettledOnce, nil, sent + received + "30 cb t=a o=ack\n 35 cu t=a f=30\n 60 rv i=1 f=50 t=b r=2 d=100", ""},
	{"delivered after an ack that was stale", SettledOnce, nil, sent + received + "30 cb t=a o=ack\n 35 cs t=a f=30\n 60 rv i=1 f=50 t=b r=2 d=100", ""},
	{
		"delivered to a receive that began before the ack ended", SettledOnce, nil,
		sent + received + acked + "60 rv i=1 f=33 t=b r=2 d=100", "came back", // whichever came first, one of them is wrong
	},
	{
		"the same without exact reads", SettledOnce, with(func(f *Facts) { f.ExactReads = false }),
		sent + received + acked + "60 rv i=1 f=33 t=b d=100", "",
	},
	{
		"an ack that a crash may undo", SettledOnce, with(func(f *Facts) { f.UndoneBy, f.Faults = "crash", []Span{{Name: "a_crash", From: 40, To: 45}} }),
		sent + received + acked + "60 rv i=1 f=50 t=b r=2 d=100", "",
	},
	{
		"an ack that a crash before it cannot undo", SettledOnce, with(func(f *Facts) { f.UndoneBy, f.Faults = "crash", []Span{{Name: "a_crash", From: 10, To: 15}} }),
		sent + received + acked + "60 rv i=1 f=50 t=b r=2 d=100", "came back",
	},
	{
		"an ack that another fault cannot undo", SettledOnce, with(func(f *Facts) { f.UndoneBy, f.Faults = "crash", []Span{{Name: "cut", From: 40, To: 45}} }),
		sent + received + acked + "60 rv i=1 f=50 t=b r=2 d=100", "came back",
	},
	{
		"a copy that a nack without an answer has left", SettledOnce, with(func(f *Facts) { f.Copies = true }),
		sent + received + "30 cb t=a o=nack\n 35 cu t=a f=30 o=nack\n 50 rv i=1 f=40 t=b r=2\n 60 cb t=b o=ack\n 65 co t=b f=60 o=ack\n 80 rv i=1 f=70 t=c r=3", "",
	},
	{
		"a nack without an answer that is repeated while another has its copy", SettledOnce, with(func(f *Facts) { f.Copies = true }),
		sent + received + "30 cb t=a o=nack\n 35 cu t=a f=30 o=nack\n 50 rv i=1 f=40 t=b w=x r=2\n 60 cb t=a o=nack\n 65 co t=a f=60 o=nack", "",
	},
	{
		"a copy that a nack with an answer has left", SettledOnce, with(func(f *Facts) { f.Copies = true }),
		sent + received + nacked + "50 rv i=1 f=40 t=b r=2\n 60 cb t=b o=ack\n 65 co t=b f=60 o=ack\n 80 rv i=1 f=70 t=c r=3", "came back",
	},
	{
		"a nack of another's lease", SettledOnce, nil,
		sent + received + "150 rv i=1 f=140 t=b w=x r=2 d=100\n 160 cb t=a o=nack\n 165 co t=a f=160 o=nack", "not theirs",
	},
	{
		"an ack of another's lease", SettledOnce, nil,
		sent + received + "150 rv i=1 f=140 t=b w=x r=2 d=100\n 160 cb t=a o=ack\n 165 co t=a f=160 o=ack", "not theirs",
	},
	{
		"an extension of another's lease", SettledOnce, nil,
		sent + received + "150 rv i=1 f=140 t=b w=x r=2 d=100\n 160 xb t=a d=100\n 165 xo t=a f=160 d=100", "not theirs",
	},
	{
		"a refused ack of another's lease", SettledOnce, nil,
		sent + received + "150 rv i=1 f=140 t=b w=x r=2 d=100\n 160 cb t=a o=ack\n 165 cs t=a f=160 o=ack", "",
	},
	{
		"two receives whose events are in the wrong order", SettledOnce, nil,
		sent + "21 rv i=1 f=15 t=b w=x r=2 d=100\n 22 rv i=1 f=10 t=a r=1 d=100\n 30 cb t=b w=x o=ack\n 35 co t=b w=x f=30 o=ack", "",
	},
	{
		"a read count that fell, where it is an estimate", SettledOnce, with(func(f *Facts) { f.ExactReads = false }),
		sent + "20 rv i=1 f=10 t=a r=2 d=100\n 30 cb t=a o=nack\n 35 co t=a f=30 o=nack\n 50 rv i=1 f=40 t=b w=x r=1 d=100\n 60 cb t=b w=x o=ack\n 65 co t=b w=x f=60 o=ack", "",
	},

	{"leased again after the end of the lease", LeasedOnce, nil, sent + received + "111 rv i=1 f=100 t=b w=x r=2 d=100", ""},
	{"leased again before the end of the lease", LeasedOnce, nil, sent + received + "109 rv i=1 f=100 t=b w=x r=2 d=100", "leased twice"},
	{"leased again after a nack", LeasedOnce, nil, sent + received + nacked + "50 rv i=1 f=40 t=b w=x r=2 d=100", ""},
	{"leased again while a settlement is under way", LeasedOnce, nil, sent + received + "30 cb t=a o=nack\n 50 rv i=1 f=40 t=b w=x r=2 d=100", ""},
	{"leased again before a nack", LeasedOnce, nil, sent + received + "29 rv i=1 f=25 t=b w=x r=2 d=100\n" + nacked, "leased twice"},
	{
		"leased again before the end of an extension", LeasedOnce, nil,
		sent + received + "90 xb t=a d=100\n 95 xo t=a f=90 d=100\n 180 rv i=1 f=175 t=b w=x r=2 d=100", "leased twice",
	},
	{
		"leased again after an extension without an answer", LeasedOnce, nil,
		sent + received + "90 xb t=a d=100\n 95 xu t=a f=90 d=100\n 180 rv i=1 f=175 t=b w=x r=2 d=100", "",
	},
	{
		"leased longer, as the backend says", LeasedOnce, nil,
		sent + "20 rv i=1 f=10 t=a r=1 d=100 l=118\n 115 rv i=1 f=100 t=b w=x r=2 d=100", "leased twice",
	},
	{
		"leased again after its connection may have been lost", LeasedOnce, with(func(f *Facts) { f.Portable, f.Faults = false, []Span{{From: 60, To: 70}} }),
		sent + received + "80 rv i=1 f=75 t=b w=x r=2 d=100", "",
	},
	{
		"leased again before its connection may have been lost", LeasedOnce, with(func(f *Facts) { f.Portable, f.Faults = false, []Span{{From: 60, To: 70}} }),
		sent + received + "59 rv i=1 f=55 t=b w=x r=2 d=100", "leased twice",
	},
	{
		"leased again, and a fault ends no lease", LeasedOnce, with(func(f *Facts) { f.Faults = []Span{{From: 60, To: 70}} }),
		sent + received + "80 rv i=1 f=75 t=b w=x r=2 d=100", "leased twice",
	},

	{"acked after its handler", HandledFirst, nil, sent + received + "22 hb t=a\n 25 he t=a\n" + acked, ""},
	{"acked before the end of its handler", HandledFirst, nil, sent + received + "22 hb t=a\n 32 he t=a\n" + acked, "acked early"},
	{"acked, and its handler never ended", HandledFirst, nil, sent + received + "22 hb t=a\n" + acked, "acked early"},
	{"acked by its handler in a transaction", HandledFirst, nil, sent + received + "22 hb t=a\n 30 cb t=a o=ack e=tx\n 31 he t=a", ""},
	{"given back while its handler runs", HandledFirst, nil, sent + received + "22 hb t=a\n" + given, ""},
	{"acked without a handler", HandledFirst, nil, sent + received + acked, ""},

	{"a lease of the right length", LeaseLength, nil, "2000000000 rv i=1 f=1000000000 d=1000000000 l=2500000000 t=a", ""},
	{"a lease that is too short", LeaseLength, nil, "2000000000 rv i=1 f=1000000000 d=1000000000 l=1900000000 t=a", "lease length"},
	{"a lease that is too long", LeaseLength, nil, "2000000000 rv i=1 f=1000000000 d=1000000000 l=3100000000 t=a", "lease length"},
	{"a lease whose end nobody knows", LeaseLength, nil, received, ""},
}

var countCases = []judged{
	{"the first read", Counts, nil, sent + received, ""},
	{"a first read that is not 1", Counts, nil, sent + "20 rv i=1 f=10 t=a r=2 a=2 u=1 d=100", "read count"},
	{
		"a first read after one in doubt", Counts, with(func(f *Facts) { f.Doubts = []Span{{Queue: "q", From: 6, To: 9}} }),
		sent + "20 rv i=1 f=10 t=a r=2 a=2 u=1 d=100", "",
	},
	{
		"two reads after one in doubt", Counts, with(func(f *Facts) { f.Doubts = []Span{{Queue: "q", From: 6, To: 9}} }),
		sent + "20 rv i=1 f=10 t=a r=3 a=3 u=2 d=100", "read count",
	},
	{
		"a read in doubt of another queue", Counts, with(func(f *Facts) { f.Doubts = []Span{{Queue: "other", From: 6, To: 9}} }),
		sent + "20 rv i=1 f=10 t=a r=2 a=2 u=1 d=100", "read count",
	},
	{"the same read count twice", Counts, nil, sent + received + nacked + "50 rv i=1 f=40 t=b r=1 a=1 d=100", "read count"},
	{"a read count that falls", Counts, nil, sent + "20 rv i=1 f=10 t=b r=2 a=2 u=1 d=100\n 40 rv i=1 f=30 t=a r=1 a=1 d=100", "read count"},
	{"a read after a nack", Counts, nil, sent + received + nacked + "50 rv i=1 f=40 t=b r=2 a=2 d=100", ""},
	{"a read after a timeout", Counts, nil, sent + received + "150 rv i=1 f=140 t=b r=2 a=2 u=1 d=100", ""},
	{"a timeout that does not count as unanswered", Counts, nil, sent + received + "150 rv i=1 f=140 t=b r=2 a=2 d=100", "unanswered"},
	{"a nack that counts as unanswered", Counts, nil, sent + received + nacked + "50 rv i=1 f=40 t=b r=2 a=2 u=1 d=100", "unanswered"},
	{"a read after an uncounted nack", Counts, nil, sent + received + given + "50 rv i=1 f=40 t=b r=2 a=1 d=100", ""},
	{"an uncounted nack that counts", Counts, nil, sent + received + given + "50 rv i=1 f=40 t=b r=2 a=2 d=100", "attempts"},
	{"a nack that does not count", Counts, nil, sent + received + nacked + "50 rv i=1 f=40 t=b r=2 a=1 d=100", "attempts"},
	{"an uncounted nack without an answer", Counts, nil, sent + received + "30 cb t=a o=uncounted\n 35 cu t=a f=30\n 150 rv i=1 f=140 t=b r=2 a=1 d=100", ""},
	{"the same, and it counts", Counts, nil, sent + received + "30 cb t=a o=uncounted\n 35 cu t=a f=30\n 150 rv i=1 f=140 t=b r=2 a=2 u=1 d=100", ""},
	{"two messages of one key", Counts, nil, sent + received + "50 rv i=2 f=40 t=b r=1 a=1 d=100", ""},
	{"an estimate", Counts, with(func(f *Facts) { f.ExactReads = false }), sent + "20 rv i=1 f=10 t=a r=7 d=100", ""},
	{"no attempts", Counts, with(func(f *Facts) { f.Attempts = false }), sent + "20 rv i=1 f=10 t=a r=1 a=9 d=100", ""},
}

// two are two messages of a group, sent one after the other.
const two = "1 sb k=a g=g n=1\n 2 so k=a i=1 g=g n=1 f=1\n 3 sb k=b g=g n=2\n 4 so k=b i=2 g=g n=2 f=3\n"

var groupCases = []judged{
	{"one after the other", GroupOverlap, nil, two + "20 rv k=a i=1 f=10 t=a d=100\n 30 cb k=a t=a o=ack\n 50 rv k=b i=2 f=40 t=b d=100", ""},
	{"two at once", GroupOverlap, nil, two + "20 rv k=a i=1 f=10 t=a d=100\n 50 rv k=b i=2 f=40 t=b w=x d=100", "group overlap"},
	{"two at once at one worker", GroupOverlap, nil, two + "20 rv k=a i=1 f=10 t=a d=100\n 20 rv k=b i=2 f=10 t=b d=100", "group overlap"},
	{"the second after the end of the first lease", GroupOverlap, nil, two + "20 rv k=a i=1 f=10 t=a d=100\n 120 rv k=b i=2 f=111 t=b w=x d=100", ""},
	{
		"a third within the lease of the first", GroupOverlap, nil, two +
			"20 rv k=a i=1 f=10 t=a d=900\n 25 rv k=c i=3 f=24 t=c d=100 w=y\n 26 cb k=c t=c w=y o=nack\n 50 rv k=b i=2 f=40 t=b w=x d=100", "group overlap",
	},

	{"in order", GroupOrder, nil, two + "20 rv k=a i=1 f=10 t=a d=100\n 50 rv k=b i=2 f=40 t=b d=100", ""},
	{"backwards", GroupOrder, nil, two + "20 rv k=b i=2 f=10 t=a d=100\n 50 rv k=a i=1 f=40 t=b d=100", "group order"},
	{
		"the first again after the second", GroupOrder, nil,
		two + "20 rv k=a i=1 f=10 t=a d=100\n 50 rv k=b i=2 f=40 t=b d=100\n 70 rv k=a i=1 f=60 t=c d=100", "group order",
	},
	{"perhaps in order", GroupOrder, nil, two + "20 rv k=b i=2 f=10 t=a d=100\n 21 rv k=a i=1 f=9 t=b d=100", ""},
	{"a first without an answer", GroupOrder, nil, "1 sb k=a g=g n=1\n 2 su k=a f=1\n 3 sb k=b\n 4 so k=b i=2 n=2 f=3\n 20 rv k=b i=2 f=10 t=a\n 50 rv k=a i=1 f=40 t=b", ""},
	{"sent at the same time", GroupOrder, nil, "1 sb k=a\n 4 so k=a i=1 n=1 f=1\n 5 so k=b i=2 n=2 f=3\n 20 rv k=b i=2 f=10 t=a\n 50 rv k=a i=1 f=40 t=b", ""},
}

var otherCases = []judged{
	{"an ID of one message", UniqueIDs, nil, "5 so i=1 f=1\n 20 rv i=1 f=10", ""},
	{"an ID of two messages", UniqueIDs, nil, "5 so i=1 f=1\n 6 so k=l i=1 f=2", "same ID"},
	{"an ID that is used again", UniqueIDs, with(func(f *Facts) { f.Drops = []Span{{Queue: "q", From: 7, To: 8}} }), "5 so i=1 f=1\n 9 so k=l i=1 f=8", ""},

	{"every occurrence", EveryOccurrence, nil, "5 so n=10\n 6 so n=12\n 7 so n=14\n 7 so n=14 o=duplicate", ""},
	{"a missed occurrence", EveryOccurrence, nil, "5 so n=10\n 6 so n=12\n 7 so n=16", "missed occurrence"},
	{"always every second one", EveryOccurrence, nil, "5 so n=10\n 6 so n=14\n 7 so n=18", "missed occurrence"},
	{"an occurrence of which only the delivery is known", EveryOccurrence, nil, "5 so n=10\n 6 rv n=12\n 7 so n=14", ""},
}

func TestRules(t *testing.T) {
	for _, tt := range slices.Concat(messageCases, leaseCases, countCases, groupCases, otherCases) {
		if tt.facts == nil {
			tt.facts = &exact
		}
		var got []string
		for _, b := range tt.rule(history(t, tt.lines), tt.facts) {
			got = append(got, b.Rule)
		}
		if s := strings.Join(got, ","); s != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, s, tt.want)
		}
	}
}

// TestGood: the histories that break no rule of their own break no other rule either.
func TestGood(t *testing.T) {
	for _, lines := range []string{
		sent + received + acked,
		sent + received + shelved + "90 ia i=1",
		sent + received + nacked + "50 rv i=1 f=40 t=b r=2 a=2 d=100\n 60 cb t=b o=ack\n 65 co t=b o=ack f=60",
		sent + received + given + "50 rv i=1 f=40 t=b r=2 a=1 d=100\n 60 cb t=b o=ack\n 65 co t=b o=ack f=60",
		sent + received + "150 rv i=1 f=140 t=b r=2 a=2 u=1 d=100\n 160 cb t=b o=ack\n 165 co t=b o=ack f=160",
	} {
		h := history(t, lines)
		for _, c := range classes {
			if found := judge(c.rules, h, &exact); c.name != "schedule" && len(found) > 0 {
				t.Errorf("%s\n%v", lines, found)
			}
		}
	}
}
