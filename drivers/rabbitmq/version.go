package rabbitmq

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// version is that of a broker. Queues are declared alike on all of them, since
// a broker that is upgraded keeps its queues and refuses another declaration
// of them: x-delivery-limit is a large number where 4.0 would take -1, and
// there is no x-consumer-timeout where 3.12 would take one.
type version struct{ major, minor int }

// versionOf returns the version of a broker that the driver works with.
func versionOf(properties amqp.Table) (version, error) {
	product, _ := properties["product"].(string)
	text, _ := properties["version"].(string)
	if product != "RabbitMQ" {
		return version{}, errors.New("the server is not RabbitMQ")
	}
	v, err := parseVersion(text)
	if err == nil && v.before(3, 10) {
		err = fmt.Errorf("RabbitMQ %d.%d has no at-least-once dead lettering of quorum queues; 3.10 is the oldest that works", v.major, v.minor)
	}
	return v, err
}

// parseVersion parses 3.10.8, 4.0.0-rc.1 and the like.
func parseVersion(text string) (v version, err error) {
	major, rest, _ := strings.Cut(text, ".")
	minor, _, _ := strings.Cut(rest, ".")
	v.major, err = strconv.Atoi(major)
	if err == nil {
		v.minor, err = strconv.Atoi(minor)
	}
	if err != nil || v.major < 0 || v.minor < 0 {
		return version{}, errors.New("the broker's version cannot be read")
	}
	return v, nil
}

func (v version) before(major, minor int) bool {
	return v.major < major || v.major == major && v.minor < minor
}

// reads returns how often a message was delivered, this time included, as far
// as its headers tell. Both count the times before: x-delivery-count all of
// them until 4.3 and only the failures since, when x-acquired-count has them all.
func (v version) reads(d *amqp.Delivery) int64 {
	n, counted := integer(d.Headers["x-delivery-count"])
	n = clamp(n) + 1
	if !counted && d.Redelivered {
		n = 2 // a classic queue
	}
	if acquired, ok := integer(d.Headers["x-acquired-count"]); ok && !v.before(4, 3) {
		n = max(n, clamp(acquired)+1)
	}
	return n
}

// integer reads a number of any of AMQP's types.
func integer(v any) (int64, bool) {
	switch n := v.(type) {
	case byte:
		return int64(n), true
	case int8:
		return int64(n), true
	case int16:
		return int64(n), true
	case uint16:
		return int64(n), true
	case int32:
		return int64(n), true
	case uint32:
		return int64(n), true
	case int64:
		return n, true
	case int:
		return int64(n), true
	}
	return 0, false
}
