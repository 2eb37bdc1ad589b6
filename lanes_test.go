package mq

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
)

func (c *Client) knownLanes() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.lanes)
}

// A queue for each request, dropped again or only named, costs nothing for
// long.
func TestLanesAreGivenUp(t *testing.T) {
	c := New(new(fake), Config{})
	kept := c.Queue("kept")
	for i := range 1000 {
		q := c.Queue(fmt.Sprint("reply", i))
		if _, err := q.Send(t.Context(), new(Message)); err != nil {
			t.Fatal(err)
		}
	}
	for end := time.Now().Add(time.Minute); c.knownLanes() > 1; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d queues are known", c.knownLanes())
		}
		runtime.GC()
	}
	if c.Queue("kept").lanes != kept.lanes {
		t.Error("two handles of one queue have different lanes")
	}
	runtime.KeepAlive(kept)
}

// Lanes live as long as a flight does, so that there is one set at a time.
func TestLanesOutliveTheirHandles(t *testing.T) {
	entered, leave := make(chan bool), make(chan bool)
	f := &fake{send: func(context.Context, []driver.Message) ([]string, error) {
		entered <- true
		<-leave
		return make([]string, 1), nil
	}}
	c := New(f, Config{})
	sent := make(chan error)
	go func() {
		_, err := c.Queue("q").Send(t.Context(), new(Message))
		sent <- err
	}()
	<-entered
	for range 10 {
		runtime.GC()
	}
	l := &c.Queue("q").lanes.send
	l.mu.Lock()
	n := l.flights
	l.mu.Unlock()
	if n != 1 {
		t.Errorf("%d flights: the lanes of a flight were given up", n)
	}
	close(leave)
	if err := <-sent; err != nil {
		t.Error(err)
	}
}
