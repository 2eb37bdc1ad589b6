package main

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portmq/mq"
)

func TestWithHeader(t *testing.T) {
	for _, tt := range []struct{ headers, want string }{
		{"", `{"k":"v"}`},
		{`{}`, `{"k":"v"}`},
		{`{"a": 1.50, "o": {"x": [null, 1e400]}}`, `{"a":1.50,"k":"v","o":{"x":[null,1e400]}}`},
		{`{"k": ["before"]}`, `{"k":"v"}`},
		{`null`, ""},
		{`[1.0, {"k": 2}]`, ""},
		{`"text"`, ""},
	} {
		headers := []byte(tt.headers)
		if tt.headers == "" {
			headers = nil
		}
		if got, ok := withHeader(headers, "k", "v"); string(got) != tt.want || ok != (tt.want != "") {
			t.Errorf("%s becomes %s, %v, want %s", tt.headers, got, ok, tt.want)
		}
	}
}

// TestAgain: what was not applied is done again, twice, and nothing else is.
func TestAgain(t *testing.T) {
	other := errors.New("other")
	for _, tt := range []struct {
		errs []error
		want error
	}{
		{[]error{nil}, nil},
		{[]error{other}, other},
		{[]error{mq.ErrUnavailable}, mq.ErrUnavailable},
		{[]error{mq.ErrBadConn, nil}, nil},
		{[]error{mq.ErrBadConn, mq.ErrBadConn, nil}, nil},
		{[]error{mq.ErrBadConn, mq.ErrBadConn, mq.ErrBadConn}, mq.ErrBadConn},
	} {
		synctest.Test(t, func(t *testing.T) {
			n, start := 0, time.Now()
			err := again(t.Context(), func() error { n++; return tt.errs[n-1] })
			if !errors.Is(err, tt.want) || n != len(tt.errs) || time.Since(start) > time.Second {
				t.Errorf("%v: %d calls and %v", tt.errs, n, err)
			}
		})
	}
}
