package main

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
)

func TestSendDedup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "mem")
		d.prints("ID  DUPLICATE\n1  no\n", "send", "w", "-dedup", "k", "one")
		d.prints("ID  DUPLICATE\n1  yes\n", "send", "w", "-dedup", "k", "-dedup-for", "2d", "two")
		d.prints(`{"queue":"w","id":"2"}`+"\n", "send", "w", "-dedup", "K", "-dedup-for", "queued", "-o", "json", "three")
		d.prints(`{"queue":"w","id":"2","duplicate":true}`+"\n", "send", "w", "-dedup", "K", "-o", "json", "four")
		d.stdin = "a\nb"
		d.prints("ID  DUPLICATE\n3  no\n", "send", "w", "-", "-format", "raw", "-dedup", "raw", "-dedup-for", "12h")
		if got := d.bodies(); !slices.Equal(got, []string{"one", "three", "a\nb"}) {
			t.Errorf("sent %q", got)
		}
		time.Sleep(5 * time.Minute)
		d.prints("ID  DUPLICATE\n4  no\n", "send", "w", "-dedup", "k", "five")
		d.prints("ID  DUPLICATE\n2  yes\n", "send", "w", "-dedup", "K", "six")
		d.prints("ID  DUPLICATE\n3  yes\n", "send", "w", "-dedup", "raw", "seven")
		if err := d.client.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestSendDedupMisuse(t *testing.T) {
	d := newDesk(t, "mem")
	d.stdin = "1\n2\n"
	d.fails(exitUsage, "-dedup is for one message: give one body, or -format raw", "send", "w", "-dedup", "k", "1", "2")
	d.fails(exitUsage, "-dedup is for one message", "send", "w", "-dedup", "k", "-")
	d.fails(exitUsage, "-dedup is empty", "send", "w", "-dedup", "", "1")
	d.fails(exitUsage, "-dedup-for needs -dedup", "send", "w", "-dedup-for", "1h", "1")
	d.fails(exitUsage, "-dedup-for: it takes a time as in 90m, 12h or 30d, or queued", "send", "w", "-dedup", "k", "-dedup-for", "ever", "1")
	d.fails(exitUsage, "unknown flag -dedup", "publish", "a", "-dedup", "k", "1")
	if got := d.bodies(); len(got) > 0 {
		t.Errorf("sent %q", got)
	}
	r := newDesk(t, "rabbitstub")
	r.fails(exitFailure, "not supported", "send", "w", "-dedup", "k", "1")
}

func TestSendAhead(t *testing.T) {
	d := newDesk(t, "mem")
	d.must("send", "w", "plain")
	d.must("send", "w", "-head-start", "1h", "-expires", "90s", "urgent")
	ds, err := d.client.Queue("w").Receive(t.Context(), mq.ReceiveOptions{})
	if err != nil || len(ds) != 1 || string(ds[0].Body) != "urgent" || ds[0].Expires != 90*time.Second {
		t.Errorf("received %v, %v, want the urgent message with Expires of 90s", ds, err)
	}
	d.fails(exitUsage, "HeadStart", "send", "w", "-head-start", "1h", "-delay", "1h", "1")
	d.fails(exitUsage, "Expires", "send", "w", "-expires", "-1s", "1")
}
