package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func yesFlag(cmd *cobra.Command, yes *bool) {
	cmd.Flags().BoolVarP(yes, "yes", "y", false, "do not ask")
}

var errDeclined = errors.New("nothing was changed")

// confirm asks before messages are lost, unless the user said yes. Where nobody
// can be asked it takes that as a no.
func (a *app) confirm(ctx context.Context, yes bool, format string, args ...any) error {
	what := printable(fmt.Sprintf(format, args...))
	switch {
	case yes:
		return nil
	case !a.interactive():
		return usagef("cannot ask whether to %s: give -yes", what)
	}
	fmt.Fprintf(a.stderr, "Really %s? [y/N] ", what)
	answer, err := unlessEnded(ctx, func() (string, error) {
		line, _ := bufio.NewReader(a.stdin).ReadString('\n') // its end is a no
		return line, nil
	})
	if err != nil {
		fmt.Fprintln(a.stderr)
		return fmt.Errorf("%w (%w)", err, errDeclined)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errDeclined
}

// unlessEnded calls f, which reads the standard input, and waits for it until
// ctx ends.
func unlessEnded[T any](ctx context.Context, f func() (T, error)) (v T, err error) {
	read := make(chan struct{})
	var got T
	var failed error
	go func() {
		defer close(read)
		got, failed = f()
	}()
	select {
	case <-read:
		return got, failed
	case <-ctx.Done():
		return v, context.Cause(ctx)
	}
}

// readSecret reads a text that a terminal does not show.
func (a *app) readSecret(ctx context.Context, prompt string) (string, error) {
	if !isTerminal(a.stdin) {
		lines, err := unlessEnded(ctx, a.readLines)
		return strings.Join(lines, "\n"), err
	}
	fd := int(a.stdin.(*os.File).Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	defer func() { _ = term.Restore(fd, before) }() // also if ctx ends
	_, _ = fmt.Fprint(a.stderr, prompt)
	defer func() { _, _ = fmt.Fprintln(a.stderr) }()
	text, err := unlessEnded(ctx, func() ([]byte, error) { return term.ReadPassword(fd) })
	return strings.TrimSpace(string(text)), err
}

// interactive reports whether somebody can be asked.
func (a *app) interactive() bool {
	if a.asks != nil {
		return *a.asks
	}
	return isTerminal(a.stdin) && isTerminal(a.stderr)
}
