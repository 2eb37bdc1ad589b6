package repo

import (
	"go/doc"
	"slices"
	"testing"
)

// exampleless are what needs no example: what tells something and does nothing,
// and what is shown elsewhere.
var exampleless = []string{
	"Register",                           // see examples/driver
	"HandlerFunc.Handle", "Consumer.Run", // see NewConsumer
	"Consumer.Stats", "Consumer.Resume", // see NewConsumer, Consumer.Pause
	"Client.Provider", "Queue.Client", "Queue.Name",
	"Header",           // see TypedQueue.Send
	"Verification.Err", // see Client.Verify
	"Delivery.LogValue", "EventKind.String",
	"Record.Reason", "Record.LastError", // see Queue.Archived, Snooze
	"DecodeError.Error", "Error.Error", "PanicError.Error", "StopError.Error",
	"DecodeError.Unwrap", "Error.Unwrap", "PanicError.Unwrap",
}

// TestDocsExamples requires an example with output for everything else that a
// program can call, and that the list above does not outlive its reasons.
func TestDocsExamples(t *testing.T) {
	seen := 0
	for name, shown := range callable(t) {
		seen++
		switch listed := slices.Contains(exampleless, name); {
		case !shown && !listed:
			t.Errorf("%s has no example with output", name)
		case shown && listed:
			t.Errorf("%s has an example, and is listed as having none", name)
		}
	}
	if seen <= len(exampleless) {
		t.Errorf("found %d functions and methods", seen)
	}
}

// callable returns the exported functions and methods of the package, and
// whether each has an example with output.
func callable(t *testing.T) map[string]bool {
	t.Helper()
	p := parsePackage(t, ".")
	found := make(map[string]bool)
	add := func(of string, funcs []*doc.Func) {
		for _, f := range funcs {
			found[of+f.Name] = slices.ContainsFunc(f.Examples, func(e *doc.Example) bool { return e.Output != "" })
		}
	}
	add("", p.Funcs)
	for _, typ := range p.Types {
		add("", typ.Funcs)
		add(typ.Name+".", typ.Methods)
	}
	return found
}
