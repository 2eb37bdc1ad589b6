//go:build unix && !linux

package main

import (
	"os"
	"syscall"
)

func endWithParent(*syscall.SysProcAttr) {}

// isStopped returns false: there is no portable way to find out. A process that
// stays silent is taken for a stopped one later.
func isStopped(int) bool { return false }

// findGroup returns 0: there is no portable way to read the environment of a
// process.
func findGroup(string) int { return 0 }

func ownProgram() (string, error) { return os.Executable() }
