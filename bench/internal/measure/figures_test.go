package measure

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestFigures(t *testing.T) {
	boom := errors.New("boom")
	figures := []Figure[error]{{"a", nil}, {"b", boom}, {"c", nil}}
	for _, tt := range []struct{ only, ran, err string }{
		{"", "abc", "figure b: boom"},
		{"c,a", "ca", ""},
		{"a,z", "", `no figure "z"`},
	} {
		ran := ""
		chosen, err := Choose(figures, tt.only)
		if err == nil {
			err = Each(t.Context(), chosen, func(f Figure[error]) error {
				ran += f.Letter
				return f.Measure
			})
		}
		if ran != tt.ran || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%q: ran %q, %v", tt.only, ran, err)
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	_ = Each(ctx, figures, func(Figure[error]) error { n++; cancel(); return nil })
	if n != 1 {
		t.Errorf("%d figures after the end", n)
	}
}
