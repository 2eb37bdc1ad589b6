package rabbitmq

import (
	"slices"
	"testing"
)

func TestTags(t *testing.T) {
	g := newTags()
	g.demands = 2
	for _, tag := range []uint64{1, 3, 2, 5, 8} {
		g.see(tag)
	}
	if gaps := g.missing(); gaps != nil {
		t.Errorf("gaps %v while others may fill them", gaps)
	}
	g.demands = 0
	if gaps := g.missing(); !slices.Equal(gaps, []uint64{4, 6, 7}) {
		t.Errorf("gaps %v, want 4, 6 and 7", gaps)
	}
	g.see(9)
	if gaps := g.missing(); gaps != nil || len(g.ahead) != 0 {
		t.Errorf("gaps %v and %v ahead, want none", gaps, g.ahead)
	}
}
