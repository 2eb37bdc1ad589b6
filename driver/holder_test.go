package driver

import (
	"strings"
	"testing"
)

func TestClientName(t *testing.T) {
	long := strings.Repeat("x", 100)
	for _, tt := range []struct {
		program, host string
		want          string
	}{
		{"shop", "host-7", "mq shop@host-7:4711"},
		{"größe\n", "a b", "mq gr??e?@a?b:4711"},
		{long, "host-7", "mq " + strings.Repeat("x", 48) + "@host-7:4711"},
		{"shop", long, "mq shop@" + strings.Repeat("x", 50) + ":4711"},
		{long, long, "mq " + strings.Repeat("x", 27) + "@" + strings.Repeat("x", 27) + ":4711"},
		{"", "", "mq @:4711"},
	} {
		got := clientName(tt.program, tt.host, 4711)
		if got != tt.want || len(got) > maxClientName {
			t.Errorf("clientName(%.9q, %.9q) = %q (%d bytes), want %q", tt.program, tt.host, got, len(got), tt.want)
		}
	}
	if got := ClientName(); !strings.HasPrefix(got, "mq ") || got != ClientName() {
		t.Errorf("ClientName() = %q", got)
	}
}
