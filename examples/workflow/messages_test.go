package workflow_test

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/portmq/mq/examples/workflow"
)

func TestStepMessage(t *testing.T) {
	for _, s := range []workflow.StepMessage{
		{Attempt: 1, Inputs: []string{}},
		{TaskID: "t", StepID: "count-7", CorrelationID: "c", Attempt: 300, Inputs: []string{"a b", "", "line\nbreak", "\xff\x00"}, Output: "/o"},
	} {
		data, err := s.MarshalMQ()
		if err != nil {
			t.Fatal(err)
		}
		var got workflow.StepMessage
		if err := got.UnmarshalMQ(data); err != nil || !reflect.DeepEqual(got, s) {
			t.Errorf("%+v became %+v, %v", s, got, err)
		}
	}
	if _, err := new(workflow.StepMessage).MarshalMQ(); err == nil {
		t.Error("attempt 0 was encoded")
	}
}

func FuzzStepMessage(f *testing.F) {
	for _, seed := range []string{"", "{}", "\x01", "\x01\x00", "\x01\x01\x01", "\x01\x01\x09t", "\x01\x01\x01t\x01s\x01c\x01o\x01i", "\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var s, again workflow.StepMessage
		if s.UnmarshalMQ(data) != nil {
			return
		}
		encoded, err := s.MarshalMQ()
		if err != nil || len(encoded) > len(data) {
			t.Fatalf("%+v became %q, %v", s, encoded, err)
		}
		if err := again.UnmarshalMQ(bytes.Clone(encoded)); err != nil || !reflect.DeepEqual(s, again) {
			t.Fatalf("%+v became %+v, %v", s, again, err)
		}
	})
}
