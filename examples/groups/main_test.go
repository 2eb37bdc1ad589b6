package main

import (
	"bytes"
	"testing"
)

const want = `orders  map[ann:[1 2 3 4 5] bob:[1 2 3 4 5] cid:[1 2 3 4 5]], two of one customer at once: false
imports map[ann:[1 2 3 4 5] bob:[1 2 3 4 5] cid:[1 2 3 4 5]], two of one customer at once: false
`

func TestRun(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), "mem://", &out); err != nil || out.String() != want {
		t.Errorf("%v\n%s", err, &out)
	}
}
