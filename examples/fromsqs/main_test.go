package main

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/mqtest"
)

func TestRun(t *testing.T) {
	var out bytes.Buffer
	want := "before: 25 thumbnails, 0 left\nafter: 25 thumbnails, 0 left\n"
	if err := run(t.Context(), "mem://", &out); err != nil || out.String() != want {
		t.Errorf("%v\n%s", err, &out)
	}
}

func newQueue(t *testing.T) *mq.Queue {
	t.Helper()
	q, err := mqtest.New(t).EnsureQueue(t.Context(), "thumbnails", mq.QueueOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// The calls do what those of SQS do.
func TestSQS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := sqs{newQueue(t)}
		if _, err := queue.SendMessage(t.Context(), "cat.png", "", 5); err != nil {
			t.Fatal(err)
		}
		receive := func(wait int) sqsMessage {
			t.Helper()
			ms, err := queue.ReceiveMessage(t.Context(), 10, 30, wait)
			if err != nil || len(ms) != 1 {
				t.Fatalf("%d messages, %v", len(ms), err)
			}
			return ms[0]
		}
		if ms, err := queue.ReceiveMessage(t.Context(), 10, 30, 4); err != nil || len(ms) != 0 {
			t.Errorf("too early: %d messages, %v", len(ms), err)
		}
		first := receive(20)
		if err := queue.ChangeMessageVisibility(t.Context(), first.ReceiptHandle, 60); err != nil {
			t.Error(err)
		}
		time.Sleep(59 * time.Second)
		if err := queue.ChangeMessageVisibility(t.Context(), first.ReceiptHandle, 0); err != nil {
			t.Error(err)
		}
		second := receive(0)
		if second.MessageID != first.MessageID || second.ApproximateReceiveCount != 2 {
			t.Errorf("%+v, after %+v", second, first)
		}
		if err := queue.DeleteMessage(t.Context(), first.ReceiptHandle); !errors.Is(err, mq.ErrStaleReceipt) {
			t.Errorf("the old receipt handle: %v", err)
		}
		if err := queue.DeleteMessage(t.Context(), second.ReceiptHandle); err != nil {
			t.Error(err)
		}
		mqtest.RequireEmpty(t, queue.q)
	})
}

// The worker makes a dead letter of what fails five times.
func TestAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t)
		if _, err := (sqs{q}).SendMessage(t.Context(), "cat.png", "", 0); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		tries := 0
		err := after(ctx, q, func(string) error { tries++; return errors.New("no picture") })
		if err != nil || tries != 5 {
			t.Errorf("%d tries, %v", tries, err)
		}
		mqtest.RequireEmpty(t, q)
	})
}
