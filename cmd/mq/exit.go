package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
)

// The exit codes.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitInterrupted = 128 + int(syscall.SIGINT)
	exitPipe        = 128 + 13 // SIGPIPE, as if it had ended the program
)

// usageError is a call that cannot work as it was made.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// errInterrupted is the cause with which the commands' context ends upon a
// signal. A command that a signal may end says nothing of it; one that leaves
// something undone returns an error that wraps it and says what was done.
var errInterrupted = errors.New("interrupted")

// exit tells what went wrong, in one line, and returns the exit code.
func (a *app) exit(cmd *cobra.Command, err error) int {
	code := a.code(err)
	switch code {
	case exitOK, exitPipe:
		return code
	}
	text := oneLine(err)
	if code == exitUsage && !a.started {
		text += fmt.Sprintf(" (see %s -help)", cmd.CommandPath())
	}
	a.fault("%s", text)
	return code
}

// forUsers puts what cobra and the library say into the words of the tool.
var forUsers = strings.NewReplacer(
	": mq: ", ": ", // of an error inside another one
	"\nmq: ", "\n",
	"\n\nDid you mean this?\n\t", "; did you mean ",
	"\n\t", " or ",
	"(create it with EnsureQueue)", "(mq ls shows the queues, mq create makes one)",
	"forgotten import? have:", "have:",
	"ConsumerConfig.DeadLetter without Config.AllowDuplicateMoves", "-dead-letter without -allow-duplicate-moves",
	"ConsumerConfig.DeadLetter", "-dead-letter",
	"or set QueueOptions.AnyName", "or give -any-name",
	"use it as it is without EnsureQueue", "use it as it is",
)

// oneLine returns the text of err as a user of the tool needs it.
func oneLine(err error) string {
	text := strings.TrimPrefix(strings.TrimSpace(err.Error()), "mq: ")
	text = forUsers.Replace(text)
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

func (a *app) code(err error) int {
	var usage *usageError
	var unstored *unstoredError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, syscall.EPIPE):
		return exitPipe
	case errors.Is(err, errInterrupted), errors.Is(err, context.Canceled) && a.interrupted:
		return exitInterrupted
	case !a.started, errors.As(err, &usage), errors.Is(err, mq.ErrInvalid), errors.Is(err, mq.ErrInvalidReceipt):
		return exitUsage
	case errors.As(err, &unstored):
		return exitTempFail
	}
	return exitFailure
}
