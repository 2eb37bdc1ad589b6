package main

import "testing"

func TestPercent(t *testing.T) {
	blocks, err := read(`mode: set
m/a/x.go:1.1,2.2 3 0
m/a/x.go:3.1,4.2 1 0
m/b/x.go:1.1,2.2 1 0
mode: set
m/a/x.go:1.1,2.2 3 1
m/a/x.go:3.1,4.2 1 0
`)
	if err != nil {
		t.Fatal(err)
	}
	for pkg, want := range map[string]float64{"m/a": 75, "m/b": 0, "m": 0} {
		if got := percent(blocks, pkg); got != want {
			t.Errorf("%s: %v %%, want %v %%", pkg, got, want)
		}
	}
	if _, err := read("FAIL"); err == nil {
		t.Error("no error for a line that is not of a profile")
	}
}
