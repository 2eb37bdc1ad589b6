package main

import (
	"bytes"
	"testing"
)

const want = `dead letter 2, read 1 times: card declined
dead letter 3, read 3 times: attempt 3 failed, the limit is 3: bank is down
dead letter 4, read 1 times: payload does not decode into main.Order: invalid character 'o' looking for beginning of value
came back: 1
thrown away: 2
`

func TestRun(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), "mem://", &out); err != nil || out.String() != want {
		t.Errorf("%v\n%s", err, &out)
	}
}
