package mq

import (
	"slices"
	"strings"
	"testing"

	"github.com/portmq/mq/driver"
)

func TestRegisterPanics(t *testing.T) {
	register(t, "twice", leaky{})
	for _, tt := range []struct {
		name, scheme string
		nilDriver    bool
		want         string
	}{
		{"nil", "nil-driver", true, "driver is nil"},
		{"duplicate", "twice", false, "called twice"},
		{"empty", "", false, "not a URL scheme"},
		{"upper case", "Mem", false, "not a URL scheme"},
		{"digit first", "1mem", false, "not a URL scheme"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defer func() {
				if v, _ := recover().(string); !strings.Contains(v, tt.want) {
					t.Errorf("panic %q does not contain %q", v, tt.want)
				}
			}()
			if tt.nilDriver {
				Register(tt.scheme, nil)
			} else {
				Register(tt.scheme, leaky{})
			}
		})
	}
	if names := Drivers(); !slices.IsSorted(names) || !slices.Contains(names, "twice") {
		t.Errorf("Drivers() = %v", names)
	}
}

// register is Register for the time of a test.
func register(t *testing.T, name string, d driver.Driver) {
	t.Helper()
	Register(name, d)
	t.Cleanup(func() {
		driversMu.Lock()
		defer driversMu.Unlock()
		delete(drivers, name)
	})
}
