package rabbitmq

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
)

// follow goes the way of a message through the levels, and returns how long it
// takes.
func follow(t *testing.T, exchange, key string) time.Duration {
	t.Helper()
	words := strings.Split(key, ".")
	if len(words) != delayLevels+1 {
		t.Fatalf("key %q has %d words", key, len(words))
	}
	var took time.Duration
	for level := topLevel(exchange); level >= 0; level-- {
		digit := words[delayLevels-1-level]
		bound := strings.Split(pattern(level, digit), ".")
		if bound[delayLevels-1-level] != digit || bound[len(bound)-1] != "#" || len(bound) != delayLevels-level+1 {
			t.Fatalf("pattern(%d, %s) = %v", level, digit, bound)
		}
		if digit == "1" {
			took += delayUnit << level
		}
	}
	return took
}

func TestDelayRoute(t *testing.T) {
	for _, tt := range []struct {
		delay, takes time.Duration
		exchange     string
	}{
		{1, delayUnit, "mq.delay.00"},
		{delayUnit, delayUnit, "mq.delay.00"},
		{delayUnit + 1, 2 * delayUnit, "mq.delay.01"},
		{1500 * time.Millisecond, 1500 * time.Millisecond, "mq.delay.03"},
		{time.Hour, time.Hour, "mq.delay.15"},
		{maxDelay - 1, maxDelay, "mq.delay.23"},
		{maxDelay, maxDelay, "mq.delay.23"},
	} {
		exchange, key, err := delayRoute("q", tt.delay)
		if err != nil || exchange != tt.exchange {
			t.Errorf("delayRoute(%v) = %s, %s, %v; want %s", tt.delay, exchange, key, err, tt.exchange)
			continue
		}
		if got := follow(t, exchange, key); got != tt.takes {
			t.Errorf("a delay of %v takes %v, want %v", tt.delay, got, tt.takes)
		}
	}
}

func FuzzDelayRoute(f *testing.F) {
	f.Add("a.b", int64(time.Second))
	f.Add("*", int64(1))
	f.Fuzz(func(t *testing.T, queue string, n int64) {
		delay := time.Duration(n)
		if delay <= 0 || delay > maxDelay {
			return
		}
		exchange, key, err := delayRoute(queue, delay)
		if err != nil {
			if !errors.Is(err, driver.ErrInvalid) || len(queue) < 60 {
				t.Errorf("delayRoute(%q, %v): %v", queue, delay, err)
			}
			return
		}
		if word := key[2*delayLevels:]; strings.ContainsAny(word, ".*#") || len(key) > 255 {
			t.Errorf("key %q of queue %q", key, queue)
		}
		if got := follow(t, exchange, key); got < delay || got >= delay+delayUnit {
			t.Errorf("a delay of %v takes %v", delay, got)
		}
	})
}
