package mqcron_test

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/mqcron"
	"github.com/portmq/mq/mqtest"
)

func TestList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := shared(t)
		if all, err := mqcron.List(t.Context(), c, mqcron.Config{}); len(all) != 0 || err != nil {
			t.Errorf("without a control queue: %v, %v", all, err)
		}
		at(t, "00:10:00")
		full := mqcron.Schedule{
			Name: "b.full", Spec: "0 6 * * *", Zone: "Europe/Berlin", Queue: "out", CatchUp: mqcron.CatchUpAll,
			Message: mq.Message{Body: []byte("\x00\xff"), Headers: mq.Headers{"a": "b"}, Group: "g", Expires: time.Hour},
		}
		set(t, c, schedule("c", "@hourly", "", ""), full, schedule("A", "@daily", "x", mqcron.CatchUpNone))
		all, err := mqcron.List(t.Context(), c, mqcron.Config{})
		if err != nil || len(all) != 3 {
			t.Fatalf("%v, %v", all, err)
		}
		if all[0].Name != "A" || all[1].Name != "b.full" || all[2].CatchUp != mqcron.CatchUpOne || all[2].Zone != "UTC" {
			t.Errorf("%+v", all)
		}
		if !reflect.DeepEqual(all[1].Schedule, full) || all[1].Next.Format(time.TimeOnly) != "05:00:00" || !all[1].Set.Equal(time.Now()) {
			t.Errorf("%+v", all[1])
		}
		if all, err := mqcron.List(t.Context(), c, mqcron.Config{Queue: "other"}); len(all) != 0 || err != nil {
			t.Errorf("of another queue: %v, %v", all, err)
		}
	})
}

// TestSetConcurrently lets 30 processes look at the same time, and set the same schedule,
// and then each its own.
func TestSetConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, dsn := shared(t)
		var clients []*mq.Client
		for range 30 {
			p := mqtest.Faulty(openStore(t, dsn).Provider(), mqtest.Fault{Op: "browse", Applied: true, Delay: time.Second})
			other := mq.New(p, quiet)
			defer other.Close()
			clients = append(clients, other)
		}
		together := func(schedule func(i int) mqcron.Schedule) {
			var wg sync.WaitGroup
			for i, c := range clients {
				wg.Go(func() {
					if err := mqcron.Set(context.Background(), c, mqcron.Config{}, schedule(i)); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
		}
		together(func(int) mqcron.Schedule { return schedule("s", "@hourly", "same", "") })
		if n := control(t, c); n != 1 {
			t.Errorf("there are %d control messages", n)
		}
		together(func(i int) mqcron.Schedule { return schedule("s", "@hourly", string(rune('a'+i)), "") })
		runFor(t, dsn, time.Hour+time.Second)
		if got := len(sent(t, c, "out")); got != 1 {
			t.Errorf("%d fired", got)
		}
		if n := control(t, c); n != 1 {
			t.Errorf("there are %d control messages", n)
		}
	})
}

// TestSetRepeated repeats a Set whose answer was lost.
func TestSetRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, dsn := shared(t)
		p := mqtest.Faulty(openStore(t, dsn).Provider(), mqtest.Fault{Op: "send unique", Applied: true, When: mqtest.Nth(1), Err: driver.ErrUnavailable})
		other := mq.New(p, quiet)
		defer other.Close()
		s := schedule("s", "@hourly", "", "")
		if err := mqcron.Set(t.Context(), other, mqcron.Config{}, s); !errors.Is(err, mq.ErrUnavailable) {
			t.Errorf("%v", err)
		}
		if err := mqcron.Set(t.Context(), other, mqcron.Config{}, s); err != nil {
			t.Error(err)
		}
		if n := control(t, c); n != 1 {
			t.Errorf("there are %d control messages", n)
		}
	})
}

func TestRunNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, dsn := shared(t)
		if _, err := mqcron.RunNow(t.Context(), c, mqcron.Config{}, "s"); !errors.Is(err, mqcron.ErrNotFound) {
			t.Errorf("without a control queue: %v", err)
		}
		set(t, c, schedule("s", "@hourly", "x", ""))
		p := start(t, dsn)
		for range 2 {
			if id, err := mqcron.RunNow(t.Context(), c, mqcron.Config{}, "s"); id == "" || err != nil {
				t.Errorf("%q, %v", id, err)
			}
		}
		if ds := sent(t, c, "out"); len(ds) != 2 || string(ds[0].Body) != "x" || ds[0].Headers[mqcron.HeaderName] != "s" || ds[0].Headers[mqcron.HeaderDue] != "" {
			t.Errorf("%+v", ds)
		}
		at(t, "01:00:01")
		p.stop(t)
		if got := fired(t, c, "out"); got != "01:00:00 x" {
			t.Errorf("fired %s", got)
		}
		if _, err := mqcron.RunNow(t.Context(), c, mqcron.Config{}, "t"); !errors.Is(err, mqcron.ErrNotFound) {
			t.Errorf("of another name: %v", err)
		}
	})
}

// TestPages has more schedules than a page.
func TestPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, dsn := shared(t)
		var all []mqcron.Schedule
		for i := range 1100 {
			all = append(all, schedule("s"+string(rune('a'+i%26))+string(rune('a'+i/26%26))+string(rune('a'+i/676)), "@daily", "", ""))
		}
		all[1099].Spec = "@hourly"
		for i := 0; i < len(all); i += 550 {
			set(t, c, all[i:i+550]...)
		}
		set(t, c, all[1000:]...)
		list, err := mqcron.List(t.Context(), c, mqcron.Config{})
		if len(list) != 1100 || err != nil {
			t.Errorf("%d, %v", len(list), err)
		}
		runFor(t, dsn, time.Hour+time.Second)
		if got := fired(t, c, "out"); got != "01:00:00" {
			t.Errorf("fired %s", got)
		}
	})
}

// TestEvery checks what becomes of the arguments.
func TestEvery(t *testing.T) {
	c, _ := shared(t)
	s := mqcron.Every("s", "@daily", nil, mq.Of[map[string]int](c.Queue("out")), map[string]int{"a": 1},
		mqcron.CatchUpAll, mqcron.Sending(mq.Group("g"), mq.Header("h", "v")))
	want := mqcron.Schedule{
		Name: "s", Spec: "@daily", Zone: "UTC", Queue: "out", CatchUp: mqcron.CatchUpAll,
		Message: mq.Message{Body: []byte(`{"a":1}`), Group: "g", Headers: mq.Headers{"h": "v"}},
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("%+v", s)
	}
}

// TestSetAfterPurge: the keys of many versions are still held when their messages have been
// purged.
func TestSetAfterPurge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := shared(t)
		ensure(t, c, "jobs")
		q := mq.Of[int](c.Queue("jobs"))
		for i := range 300 {
			if err := mqcron.Set(t.Context(), c, mqcron.Config{}, mqcron.Every("s", "@daily", nil, q, i)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.Queue("mq_cron").Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := mqcron.Set(t.Context(), c, mqcron.Config{}, mqcron.Every("s", "@daily", nil, q, -1)); err != nil {
			t.Fatal(err)
		}
		list, err := mqcron.List(t.Context(), c, mqcron.Config{})
		if err != nil || len(list) != 1 || string(list[0].Message.Body) != "-1" {
			t.Errorf("List = %v, %v; want the last definition", list, err)
		}
	})
}

// TestEveryLocation: a location must be the zone that its name stands for.
func TestEveryLocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := shared(t)
		ensure(t, c, "jobs")
		q := mq.Of[int](c.Queue("jobs"))
		parsed, err := time.Parse(time.RFC3339, "2000-01-01T06:00:00+09:00")
		if err != nil {
			t.Fatal(err)
		}
		for _, loc := range []*time.Location{parsed.Location(), time.FixedZone("EST", 9*3600), time.FixedZone("Nowhere/At_All", 0), time.FixedZone("", 0), time.Local} {
			err := mqcron.Set(t.Context(), c, mqcron.Config{}, mqcron.Every("s", "@daily", loc, q, 1))
			if !errors.Is(err, mq.ErrInvalid) {
				t.Errorf("location %q: %v, want ErrInvalid", loc, err)
			}
		}
		berlin, err := time.LoadLocation("Europe/Berlin")
		if err != nil {
			t.Fatal(err)
		}
		for _, loc := range []*time.Location{nil, time.UTC, berlin} {
			if err := mqcron.Set(t.Context(), c, mqcron.Config{}, mqcron.Every("s", "@daily", loc, q, 1)); err != nil {
				t.Errorf("location %v: %v", loc, err)
			}
		}
	})
}
