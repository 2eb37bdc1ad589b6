package pgmq

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/portmq/mq/driver"
)

// headerGroup is where PGMQ's own functions look for a message's group.
const headerGroup = "x-pgmq-group"

// What nacks note, as numbers.
const (
	headerAnswered   = "mq-answered"   // read_ct at the last nack
	headerUncounted  = "mq-uncounted"  // leases that were no attempts
	headerUnanswered = "mq-unanswered" // attempts that nobody had answered before an uncounted nack
)

// notes are what nacks have noted of a message. It is 0 where others have written
// something else.
type notes struct {
	answered, uncounted, before int
	none                        bool // there is no room for any
}

func (n notes) attempt(reads int) int { return reads - min(n.uncounted, reads) }

// unanswered returns how many attempts before this read nobody has answered. It is 0
// where a nack cannot be noted: else each message that is retried would seem to be one
// that ends its process.
func (n notes) unanswered(reads int) int {
	if n.none {
		return 0
	}
	return min(n.before+max(0, reads-1-n.answered), max(0, reads-1))
}

// of returns the notes of a message that is read for the nth time. Those of a later read
// belong to a message whose headers were copied.
func (n notes) of(reads int) notes {
	if n.answered >= reads {
		return notes{none: n.none}
	}
	return n
}

// take takes a header if it is one of the notes.
func (n *notes) take(key, value []byte) bool {
	switch string(key) {
	case `"` + headerAnswered + `"`:
		n.answered = count(value)
	case `"` + headerUncounted + `"`:
		n.uncounted = count(value)
	case `"` + headerUnanswered + `"`:
		n.before = count(value)
	default:
		return false
	}
	return true
}

// count reads the JSON of a number that counts something.
func count(value []byte) int {
	if len(value) > 9 {
		return 0
	}
	n, _ := strconv.ParseUint(string(value), 10, 32)
	return int(n)
}

// encodeHeaders returns the JSON object for the headers column, and false if it
// is to be NULL.
func encodeHeaders(h driver.Headers, group string) (string, bool) {
	if len(h) == 0 && group == "" {
		return "", false
	}
	b := append(make([]byte, 0, 256), '{')
	for _, k := range slices.Sorted(maps.Keys(h)) {
		b = appendMember(b, k, h[k])
	}
	if group != "" {
		b = appendMember(b, headerGroup, group)
	}
	b[len(b)-1] = '}'
	return string(b), true
}

func appendMember(b []byte, key, value string) []byte {
	b = append(appendQuoted(b, key), ':')
	return append(appendQuoted(b, value), ',')
}

// checkHeaders refuses the header that the group is stored as.
func checkHeaders(msgs []driver.Message) error {
	for i := range msgs {
		if _, ok := msgs[i].Headers[headerGroup]; !ok {
			continue
		}
		err := fmt.Errorf("%w: header %s is where the group is stored (set Message.Group instead)", driver.ErrInvalid, headerGroup)
		if len(msgs) > 1 {
			err = fmt.Errorf("message %d: %w", i, err)
		}
		return err
	}
	return nil
}

// decodeHeaders undoes encodeHeaders, and separates what nacks have noted. Values
// of other programs that are no strings come as JSON.
func decodeHeaders(stored []byte) (h driver.Headers, group string, n notes) {
	s := scanner{text: stored, depth: math.MaxInt, room: math.MaxInt}
	if !s.accept('{') {
		n.none = len(stored) > 0
		return nil, "", n
	}
	for more := true; more; more = s.accept(',') {
		key, value := s.member()
		switch {
		case value == nil:
			return nil, "", notes{}
		case n.take(key, value):
		case string(key) != `"`+headerGroup+`"`:
			if h == nil {
				h = make(driver.Headers)
			}
			h[string(unquote(key))] = asText(value)
		case string(value) != "null":
			group = asText(value)
		}
	}
	return h, group, n
}

// asText returns a string as it is, and other JSON as it is written.
func asText(value []byte) string {
	if value[0] == '"' {
		value = unquote(value)
	}
	return string(value)
}
