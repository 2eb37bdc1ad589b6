package main

import "testing"

func TestBind(t *testing.T) {
	d := newDesk(t, "mem")
	d.must("create", "v")
	d.prints("QUEUE  PATTERN\nw  logs.*\n", "bind", "W", "logs.*")
	d.prints("QUEUE  PATTERN\nw  #\n", "bind", "w", "#")
	d.prints(`{"queue":"v","pattern":"a"}`+"\n", "bind", "v", "a", "-o", "json")
	d.prints("QUEUE  PATTERN\nv  a\nw  #\nw  logs.*\n", "bindings")
	d.prints("QUEUE  PATTERN\nw  #\nw  logs.*\n", "bindings", "W")
	d.prints("UNBOUND  PATTERN\nw  #\n", "unbind", "w", "#")
	d.prints("UNBOUND  PATTERN\nw  #\n", "unbind", "w", "#")
	d.prints(`{"queue":"w","pattern":"logs.*"}`+"\n", "bindings", "w", "-o", "json")
	d.must("unbind", "w", "logs.*")
	d.prints("QUEUE  PATTERN\n", "bindings", "w")
}

func TestBindFails(t *testing.T) {
	d := newDesk(t, "mem")
	d.fails(exitFailure, "queue not found", "bind", "nowhere", "a")
	d.fails(exitFailure, "queue not found", "unbind", "nowhere", "a")
	d.fails(exitFailure, "queue not found", "bindings", "nowhere")
	d.fails(exitUsage, "two wildcards side by side", "bind", "w", "##")
	d.fails(exitUsage, "an empty word", "unbind", "w", "a.")
	d.fails(exitUsage, "wrong arguments", "bind", "w")
}
