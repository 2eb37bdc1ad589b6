package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
)

// In a process that is a child of this program the first names its main function,
// and the second the file.
const (
	childEnv = "MQ_BENCH_CHILD"
	dsnEnv   = "MQ_BENCH_DSN"
)

var children = map[string]func(ctx context.Context, dsn string) error{
	"sender":   sender,
	"consumer": idleConsumer,
	"empty":    emptyProgram,
}

// runChild runs this program as a child, and parses the JSON that it prints.
func runChild(ctx context.Context, name, dsn string, result any) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), childEnv+"="+name, dsnEnv+"="+dsn)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("process %s: %w", name, err)
	}
	return decoded(out, result)
}
