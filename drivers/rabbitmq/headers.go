package rabbitmq

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/portmq/mq/driver"
)

// The headers of our own. Names that begin with "mq-" are reserved.
const (
	headerEnqueued   = "mq-enqueued-at" // microseconds since 1970
	headerReads      = "mq-read-count"  // deliveries of the messages that this one was copied from
	headerUncounted  = "mq-uncounted"   // those of them that were no attempts
	headerAnswered   = "mq-answered"    // the read count when it was last nacked
	headerUnanswered = "mq-unanswered"  // attempts that nobody had answered before an uncounted nack
	headerArchived   = "mq-archived-at" // microseconds since 1970
	headerTwin       = "mq-twin"        // a number, where another message of the same flight has the same id
	headerEscaped    = "mq-header-"     // in front of a name that means something to the broker
)

// contentType is the header that AMQP has a property for.
const contentType = "content-type"

// brokers reports whether the broker reads or writes a header.
func brokers(name string) bool {
	switch name {
	case "CC", "BCC", "x-death", "x-delivery-count", "x-acquired-count", "x-delay", "x-stream-offset", "x-match":
		return true
	}
	for _, prefix := range []string{"x-first-death-", "x-last-death-", "x-opt-", headerEscaped} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// maxHeaders bounds a message's properties: unlike a body they must fit into
// one frame.
const maxHeaders = frameSize - 4<<10

// encodeHeaders makes AMQP headers of h. It fails with what a frame cannot
// hold, which would cost the connection.
func encodeHeaders(h driver.Headers) (amqp.Table, error) {
	t := make(amqp.Table, len(h)+2)
	size := 0
	for k, v := range h {
		if ours(k) {
			continue
		}
		if brokers(k) {
			k = headerEscaped + k
		}
		if len(k) > 255 {
			return nil, fmt.Errorf("%w: a header's name is longer than AMQP's 255 bytes", driver.ErrInvalid)
		}
		size += 1 + len(k) + 5 + len(v)
		t[k] = v
	}
	if size > maxHeaders {
		return nil, fmt.Errorf("%w: the headers have %d bytes, the limit is %d", driver.ErrTooLarge, size, maxHeaders)
	}
	return t, nil
}

func ours(name string) bool {
	switch name {
	case headerEnqueued, headerReads, headerUncounted, headerAnswered, headerUnanswered, headerArchived, headerTwin:
		return true
	}
	return false
}

// decodeHeaders makes text of AMQP headers, and nil of none. What the broker
// and this driver have added is left out.
func decodeHeaders(d *amqp.Delivery) driver.Headers {
	h := make(driver.Headers, len(d.Headers))
	for k, v := range d.Headers {
		escaped, was := strings.CutPrefix(k, headerEscaped)
		switch {
		case was:
			h[text(escaped)] = headerText(v)
		case !ours(k) && !(brokers(k) && k != "CC"):
			h[text(k)] = headerText(v)
		}
	}
	if _, has := h[contentType]; !has && d.ContentType != "" {
		h[contentType] = text(d.ContentType)
	}
	if len(h) == 0 {
		return nil
	}
	return h
}

// headerText returns the value of a header that another program may have
// written.
func headerText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return text(v)
	case []byte:
		if utf8.Valid(v) {
			return text(string(v))
		}
		return base64.StdEncoding.EncodeToString(v)
	case bool:
		return strconv.FormatBool(v)
	case float32:
		return strconv.FormatFloat(float64(v), 'g', -1, 32)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case amqp.Decimal:
		return decimal(v)
	case amqp.Table, []any:
		b, err := json.Marshal(plain(v))
		if err == nil {
			return string(b)
		}
	}
	return text(fmt.Sprint(v))
}

// plain makes values that JSON has, too.
func plain(v any) any {
	switch v := v.(type) {
	case amqp.Table:
		m := make(map[string]any, len(v))
		for k, item := range v {
			m[text(k)] = plain(item)
		}
		return m
	case []any:
		items := make([]any, len(v))
		for i, item := range v {
			items[i] = plain(item)
		}
		return items
	case nil, bool, byte, int8, int16, uint16, int32, uint32, int64, int:
		return v
	case float32, float64:
		if _, err := json.Marshal(v); err == nil {
			return v
		}
	}
	return headerText(v)
}

func decimal(d amqp.Decimal) string {
	digits := strconv.FormatInt(int64(d.Value), 10)
	if d.Scale == 0 {
		return digits
	}
	sign := ""
	if d.Value < 0 {
		sign, digits = "-", digits[1:]
	}
	scale := int(d.Scale)
	if pad := scale + 1 - len(digits); pad > 0 {
		digits = strings.Repeat("0", pad) + digits
	}
	return sign + digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
}

// text makes of s what every backend can store.
func text(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "\uFFFD")
}

// copyHeaders returns the headers for a copy of d. A CC would send the copy to
// yet other queues.
func copyHeaders(d *amqp.Delivery) amqp.Table {
	t := maps.Clone(d.Headers)
	if t == nil {
		t = make(amqp.Table, 4)
	}
	if cc, ok := t["CC"]; ok {
		t[headerEscaped+"CC"] = headerText(cc)
	}
	for k := range t {
		if brokers(k) && !strings.HasPrefix(k, headerEscaped) {
			delete(t, k)
		}
	}
	return t
}
