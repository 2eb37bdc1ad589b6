package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/portmq/mq"
	"github.com/portmq/mq/mqtest"
)

func TestPublish(t *testing.T) {
	d := newDesk(t, "mem")
	d.must("create", "v")
	d.must("bind", "w", "logs.#")
	d.must("bind", "v", "logs.*")
	d.prints("QUEUE  ID\nv  1\nv  2\nw  1\nw  2\n", "publish", "logs.db", "one", "two")
	d.prints("QUEUE  ID\nw  3\n", "publish", "logs.db.slow", "-header", "a=b", "-group", "g", "three")
	d.prints("QUEUE  ID\n", "publish", "other", "four")
	d.prints(`{"topic":"logs.db.slow","queue":"w","id":"4"}`+"\n", "publish", "logs.db.slow", "-o", "json", "five")
	if got := d.bodies(); !slices.Equal(got, []string{"one", "two", "three", "five"}) {
		t.Errorf("published %q", got)
	}
	rs, err := d.client.Queue("w").Peek(t.Context(), mq.BrowseOptions{After: "2"})
	if err != nil || rs[0].Headers["a"] != "b" || rs[0].Group != "g" {
		t.Errorf("published %+v, %v", rs, err)
	}
	d.fails(exitUsage, "logs.*", "publish", "logs.*", "1")
	d.fails(exitUsage, "nothing to send", "publish", "logs")
}

func TestPublishInput(t *testing.T) {
	d := newDesk(t, "mem")
	d.must("bind", "w", "a")
	d.stdin = "1\n\n2\n"
	d.prints("published 2 messages\n", "publish", "a", "-")
	d.prints(`{"done":"published","count":2,"topic":"a"}`+"\n", "publish", "a", "-", "-o", "json")
	d.stdin = strings.Repeat("3\n", 2500)
	d.prints("published 2500 messages\n", "publish", "a", "-")
	if s, err := d.client.Queue("w").Stats(t.Context()); err != nil || s.Total != 2504 {
		t.Errorf("%d messages, %v", s.Total, err)
	}
	d.stdin = "1\n2\n{"
	d.fails(exitUsage, "line 3: not JSON (-format lines takes any text) (sent 2 messages, up to line 2)", "publish", "a", "-")
	d.suffer(mqtest.Fault{Op: "publish", Applied: true, Err: mq.ErrUnavailable})
	d.stdin = "1\n2\n"
	d.fails(exitFailure, "not known of lines 1-2", "publish", "a", "-")
}
