//go:build !unix

package main

import "os"

// There is no watchdog: there are no process groups that it could end.
type watchdog struct{}

func runAsWatchdog() {}

func startWatchdog(limits) (*watchdog, error) { return &watchdog{}, nil }

func (*watchdog) begin() (int, string)  { return 0, watchdogMark + "=" }
func (*watchdog) runs(int, *os.Process) {}
func (*watchdog) end(int)               {}
func (*watchdog) close()                {}
