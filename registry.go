package mq

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/portmq/mq/driver"
)

var (
	driversMu sync.RWMutex
	drivers   = make(map[string]driver.Driver)
)

// Register makes a driver available under name, which is the scheme of its
// DSNs. Drivers call it from an init function. It panics if d is nil, if name
// is not a URL scheme in lower case, or if name is taken.
func Register(name string, d driver.Driver) {
	driversMu.Lock()
	defer driversMu.Unlock()
	switch {
	case d == nil:
		panic("mq: Register driver is nil")
	case !isScheme(name):
		panic(fmt.Sprintf("mq: Register name %q is not a URL scheme in lower case", name))
	case drivers[name] != nil:
		panic("mq: Register called twice for driver " + name)
	}
	drivers[name] = d
}

// Drivers returns the names of the registered drivers, sorted.
func Drivers() []string {
	driversMu.RLock()
	defer driversMu.RUnlock()
	return slices.Sorted(maps.Keys(drivers))
}

func lookup(name string) (driver.Driver, error) {
	driversMu.RLock()
	d := drivers[name]
	driversMu.RUnlock()
	if d != nil {
		return d, nil
	}
	have := "none"
	if names := Drivers(); len(names) > 0 {
		have = strings.Join(names, ", ")
	}
	return nil, fmt.Errorf("mq: unknown driver %q (forgotten import? have: %s)", name, have)
}

// isScheme reports whether s is a scheme of RFC 3986, in lower case.
func isScheme(s string) bool {
	for i, r := range s {
		letter := r >= 'a' && r <= 'z'
		other := r >= '0' && r <= '9' || r == '+' || r == '-' || r == '.'
		if !letter && (i == 0 || !other) {
			return false
		}
	}
	return s != ""
}
