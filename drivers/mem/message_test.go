package mem

import (
	"maps"
	"testing"

	"github.com/portmq/mq/driver"
)

// TestContentIsNotChanged: others may be reading it, without a lock.
func TestContentIsNotChanged(t *testing.T) {
	c := content{headers: driver.Headers{"k": "v"}}
	tests := map[string]struct{ got, want driver.Headers }{
		"with":          {c.with("l", "w").headers, driver.Headers{"k": "v", "l": "w"}},
		"with other":    {c.with("k", "w").headers, driver.Headers{"k": "w"}},
		"with nothing":  {c.with("k", "").headers, driver.Headers{"k": "v"}},
		"renewed":       {c.renewed().headers, driver.Headers{"k": "v"}},
		"renewed twice": {c.with(driver.HeaderReason, "why").with(driver.HeaderError, "EOF").renewed().headers, driver.Headers{"k": "v"}},
		"with first":    {content{}.with("k", "v").headers, driver.Headers{"k": "v"}},
		"renewed none":  {content{}.renewed().headers, nil},
	}
	for name, tt := range tests {
		if !maps.Equal(tt.got, tt.want) {
			t.Errorf("%s: %v, want %v", name, tt.got, tt.want)
		}
	}
	if c.headers["k"] != "v" || len(c.headers) != 1 {
		t.Errorf("the content has changed: %v", c.headers)
	}
}

func TestParseID(t *testing.T) {
	tests := map[string]bool{
		"1": true, "0": true, "18446744073709551615": true,
		"": false, "01": false, "+1": false, "-1": false, "1 ": false, "x": false, "18446744073709551616": false,
	}
	for s, want := range tests {
		id, ok := parseID(s)
		if ok != want || ok && formatID(id) != s {
			t.Errorf("%q is %d, %v", s, id, ok)
		}
	}
}
