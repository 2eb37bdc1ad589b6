package mq

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq/driver"
)

func TestExpiresTravels(t *testing.T) {
	for _, tt := range []struct {
		in   time.Duration
		want string
	}{
		{0, ""}, {time.Millisecond, "1"}, {1500 * time.Microsecond, "1"}, {time.Hour, "3600000"}, {1<<63 - 1, "9223372036854"},
	} {
		headers := Headers{"a": "b"}
		m := Message{Headers: headers, Expires: tt.in}
		o := m.out()
		if o.Headers[HeaderExpires] != tt.want || o.Headers["a"] != "b" || len(headers) != 1 {
			t.Errorf("Expires %v: headers %v, and the caller's %v", tt.in, o.Headers, headers)
		}
		if back := in(o); back.Expires != tt.in.Truncate(time.Millisecond) {
			t.Errorf("Expires %v came back as %v", tt.in, back.Expires)
		}
	}
	for _, odd := range []string{"", "-1", "0", "1.5", "1h", "9223372036855", "99999999999999999999"} {
		if m := in(driver.Message{Headers: Headers{HeaderExpires: odd}}); m.Expires != 0 {
			t.Errorf("header %q: Expires %v", odd, m.Expires)
		}
	}
}

// TestExpired: neither the local clock nor how long the message waited for its handler
// matters, only the backend's clock.
func TestExpired(t *testing.T) {
	for _, tt := range []struct {
		age, expires time.Duration
		skew         time.Duration // of the backend's clock
		visible      bool          // the backend tells when the lease ends
		want         string
	}{
		{time.Minute, time.Hour, 0, true, "ack"},
		{time.Hour, time.Minute, 0, true, "archive"},
		{time.Minute, time.Hour, 24 * time.Hour, true, "ack"},
		{time.Minute, time.Hour, -24 * time.Hour, true, "ack"},
		{time.Hour, time.Minute, 24 * time.Hour, true, "archive"},
		{time.Minute, time.Hour, 0, false, "ack"},
		{time.Hour, time.Minute, 0, false, "archive"},
	} {
		t.Run(fmt.Sprint(tt), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				at := time.Now().Add(tt.skew)
				d := driver.Delivery{Receipt: "r", ReadCount: 1, EnqueuedAt: at.Add(-tt.age)}
				d.Headers = Headers{HeaderExpires: fmt.Sprint(tt.expires.Milliseconds())}
				if tt.visible {
					d.VisibleAt = at.Add(30 * time.Second)
				}
				f := &fake{caps: driver.Caps{Headers: true}, receive: deliver(d)}
				var events []string
				called := 0
				cc := ConsumerConfig{OnEvent: func(_ context.Context, e Event) { events = append(events, fmt.Sprint(e.Kind, ": ", e.Reason)) }}
				s, err := consume(t, f, Config{}, cc, time.Second, func(_ context.Context, d *Delivery) error { called++; return nil })
				if err != nil || len(f.settled) != 1 || f.settled[0].Op.String() != tt.want {
					t.Fatalf("settled %v (%v), want %s", f.settled, err, tt.want)
				}
				if tt.want == "ack" {
					return
				}
				if want := "[expired: expired: it was worth handling for 1m0s]"; fmt.Sprint(events) != want || called != 0 || s.Expired != 1 || s.DeadLettered != 0 {
					t.Errorf("events %v, %d handled, %d expired, %d dead letters", events, called, s.Expired, s.DeadLettered)
				}
			})
		})
	}
}

func TestTimesMisuse(t *testing.T) {
	all := driver.Caps{Headers: true, Delay: true, HeadStart: true}
	for _, tt := range []struct {
		m    Message
		caps driver.Caps
		want error
		text string
	}{
		{Message{Expires: -1}, all, ErrInvalid, "Expires -1ns"},
		{Message{Expires: 1}, all, ErrInvalid, "below a millisecond"},
		{Message{Expires: time.Second}, driver.Caps{}, ErrNotSupported, "Expires"},
		{Message{HeadStart: -1}, all, ErrInvalid, "HeadStart -1ns"},
		{Message{HeadStart: 400 * 24 * time.Hour}, all, ErrInvalid, "HeadStart 9600h0m0s"},
		{Message{HeadStart: 1, Delay: 1}, all, ErrInvalid, "not both"},
		{Message{HeadStart: 1}, driver.Caps{Delay: true}, ErrNotSupported, "HeadStart"},
	} {
		f := &fake{caps: tt.caps}
		c := New(f, Config{})
		_, err := c.Queue("q").Send(t.Context(), &tt.m)
		if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) || f.called("send") != 0 {
			t.Errorf("Send(%+v) = %v, want %q", tt.m, err, tt.text)
		}
		_ = c.Close()
	}
}
