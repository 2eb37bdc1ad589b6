// Command withservers runs a command beside one PostgreSQL, one PgBouncer and
// one RabbitMQ, which it finds or starts as package server says.
//
//	withservers command [arguments]
//
// It hands them to the command in the environment, so that all processes of a
// test run share them, and ends what it has started when the command ends. A
// server that cannot be had is reported; what needs it finds out by itself.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/portmq/mq/internal/integration/server"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: withservers command [arguments]")
		os.Exit(2)
	}
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "withservers:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// run returns the exit code of a command.
func run(command []string) (code int, err error) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	env, missing, stop := server.Share()
	defer func() { err = errors.Join(err, stop()) }()
	for _, line := range append(server.Lines(), missing...) {
		fmt.Println(line)
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s)
		}
	}()
	err = cmd.Wait()
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		return max(failed.ExitCode(), 1), nil
	}
	return 0, err
}
