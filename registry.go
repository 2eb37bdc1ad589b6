package mq

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
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
	return nil, errors.New("mq: unknown driver " + strconv.Quote(name) + " (" + hint(name) + ")")
}

// schemes are those of other libraries, and the drivers that their users want.
var schemes = map[string]string{
	"postgres": "pgmq", "postgresql": "pgmq", "pg": "pgmq", "pgx": "pgmq",
	"amqp": "rabbitmq", "amqps": "rabbitmq", "rabbit": "rabbitmq",
	"memory": "mem", "inmem": "mem", "inmemory": "mem",
	"sqlite3": "sqlite", "file": "sqlite",
}

// hint says what the user of an unknown driver may have meant.
func hint(name string) string {
	names := Drivers()
	meant := schemes[name]
	if meant == "" {
		meant = driver.Nearest(name, names)
	}
	var parts []string
	switch {
	case meant == "":
		parts = append(parts, "forgotten import?")
	case slices.Contains(names, meant):
		parts = append(parts, "did you mean "+meant+"?")
	default:
		parts = append(parts, "did you mean "+meant+", and forget its import?")
	}
	have := "none"
	if len(names) > 0 {
		have = strings.Join(names, ", ")
	}
	return strings.Join(append(parts, "have: "+have), " ")
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
