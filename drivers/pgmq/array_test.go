package pgmq

import (
	"database/sql"
	"math"
	"slices"
	"testing"

	"github.com/lib/pq"
)

func TestArray(t *testing.T) {
	tests := []struct {
		build func(*array)
		want  string
	}{
		{func(*array) {}, `{}`},
		{func(a *array) { a.grow(10) }, `{}`},
		{func(a *array) { a.text("") }, `{""}`},
		{func(a *array) { a.null() }, `{NULL}`},
		{func(a *array) { a.text("NULL") }, `{"NULL"}`},
		{func(a *array) { a.text("a"); a.text(`b\`); a.null(); a.int(5) }, `{"a","b\\",NULL,5}`},
		{func(a *array) { a.text(`{"k": [1,2]}`) }, `{"{\"k\": [1,2]}"}`},
		{func(a *array) { a.text(`"`); a.text(`\\`); a.text(` ,{}`) }, `{"\"","\\\\"," ,{}"}`},
		{func(a *array) { a.int(0); a.int(math.MinInt64); a.int(math.MaxInt64) }, `{0,-9223372036854775808,9223372036854775807}`},
	}
	for _, tt := range tests {
		var a array
		tt.build(&a)
		if got := a.String(); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

// TestArrayGoesOn: String is no end.
func TestArrayGoesOn(t *testing.T) {
	var a array
	a.grow(64)
	a.int(1)
	first := a.String()
	a.int(2)
	if got := a.String(); first != "{1}" || got != "{1,2}" || a.String() != got {
		t.Errorf("got %s, then %s, then %s", first, got, a.String())
	}
}

func FuzzArray(f *testing.F) {
	f.Add("a", `b"\`, int64(5))
	f.Add("", "NULL", int64(-1))
	f.Add(",{}", "ü\n", int64(0))
	f.Fuzz(func(t *testing.T, s1, s2 string, n int64) {
		var texts, numbers array
		texts.text(s1)
		texts.null()
		texts.text(s2)
		numbers.int(n)
		numbers.int(^n)

		var gotTexts []sql.NullString
		if err := pq.Array(&gotTexts).Scan(texts.String()); err != nil {
			t.Fatal(err)
		}
		if want := []sql.NullString{{String: s1, Valid: true}, {}, {String: s2, Valid: true}}; !slices.Equal(gotTexts, want) {
			t.Errorf("%s is read as %v, want %v", texts.String(), gotTexts, want)
		}
		var gotNumbers pq.Int64Array
		if err := gotNumbers.Scan(numbers.String()); err != nil {
			t.Fatal(err)
		}
		if want := []int64{n, ^n}; !slices.Equal(gotNumbers, want) {
			t.Errorf("%s is read as %d, want %d", numbers.String(), gotNumbers, want)
		}
	})
}

func BenchmarkArray(b *testing.B) {
	body := string(sampleBody(512))
	for b.Loop() {
		var a array
		a.grow(100 * 640)
		for range 100 {
			a.text(body)
		}
		_ = a.String()
	}
}
