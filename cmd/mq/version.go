package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
)

func versionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Show the version and the drivers",
		Example: "  mq version",
		Args:    takes(0, 0),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(a.stdout, version())
			return err
		},
	}
}

// built is the version that go install or go build wrote into the program.
func built() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(unknown)"
}

// version is the version of the program, and what it was built with.
func version() string {
	return fmt.Sprintf("mq %s %s %s/%s (drivers: %s)",
		built(), runtime.Version(), runtime.GOOS, runtime.GOARCH, strings.Join(mq.Drivers(), ", "))
}
