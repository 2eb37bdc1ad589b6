package main

import (
	"bufio"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func yesFlag(cmd *cobra.Command, yes *bool) {
	cmd.Flags().BoolVarP(yes, "yes", "y", false, "do not ask")
}

var errDeclined = errors.New("nothing was changed")

// confirm asks before messages are lost, unless the user said yes. Where nobody
// can be asked it takes that as a no.
func (a *app) confirm(yes bool, format string, args ...any) error {
	what := printable(fmt.Sprintf(format, args...))
	switch {
	case yes:
		return nil
	case !a.interactive():
		return usagef("cannot ask whether to %s: give -yes", what)
	}
	fmt.Fprintf(a.stderr, "Really %s? [y/N] ", what)
	answer, _ := bufio.NewReader(a.stdin).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errDeclined
}

// interactive reports whether somebody can be asked.
func (a *app) interactive() bool {
	if a.asks != nil {
		return *a.asks
	}
	return isTerminal(a.stdin) && isTerminal(a.stderr)
}
