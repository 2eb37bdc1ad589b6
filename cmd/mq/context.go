package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
)

func contextCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "context",
		Short: "Give DSNs names",
		Long: `Give DSNs names, and use the names instead: there is no password to type.

A command takes the first of these: -dsn, the context that -context names, MQ_DSN,
the context that MQ_CONTEXT names, the context in use. Contexts are stored in
mq/contexts.json in the user's configuration directory (~/.config on Linux), which
only its owner may read.`,
		Args:    func(*cobra.Command, []string) error { return usagef("give one of add, ls, use, show and rm") },
		RunE:    func(*cobra.Command, []string) error { return nil },
		Example: `  mq context add prod env:PROD_DSN && mq context use prod`,
	}
	cmd.AddCommand(contextAddCommand(a), contextListCommand(a), contextUseCommand(a), contextShowCommand(a), contextRemoveCommand(a))
	return cmd
}

func contextAddCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "add NAME {DSN | env:NAME | -}",
		Short: "Name a DSN",
		Long: `Name a DSN. It is read from the standard input (-), so that other users of the
machine do not see it, from a variable (env:NAME), each time it is used, or from
the argument. An existing context of that name is replaced.`,
		Example: `  mq context add dev pgmq://app@localhost/shop
  mq context add prod env:PROD_DSN
  echo 'pgmq://app:secret@db/shop' | mq context add stage -`,
		Args: takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			dsn := args[1]
			if dsn == "-" {
				var err error
				if dsn, err = a.readSecret(cmd.Context(), "DSN: "); err != nil {
					return err
				}
			}
			if err := checkContext(args[0], dsn); err != nil {
				return err
			}
			return a.changeContexts(args[0], func(cs *contexts) error {
				if cs.Contexts == nil {
					cs.Contexts = make(map[string]string)
				}
				cs.Contexts[args[0]] = dsn
				return nil
			})
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
}

// checkContext refuses what cannot be a name, or a DSN. It shows no part of it but the
// scheme: the rest may be a password.
func checkContext(name, dsn string) error {
	scheme, rest, ok := strings.Cut(dsn, ":")
	switch {
	case name == "" || strings.HasPrefix(name, "-") || strings.ContainsFunc(name, unprintable):
		return usagef("%q is not a name for a context", name)
	case ok && scheme == "env" && rest != "":
		return nil
	case !ok || !strings.HasPrefix(rest, "//") || strings.ContainsAny(dsn, "\r\n"):
		return usagef("that is not a DSN, as in pgmq://user@host/database, nor env:NAME")
	case !slices.Contains(mq.Drivers(), scheme):
		return usagef("unknown driver %q (have: %s)", scheme, strings.Join(mq.Drivers(), ", "))
	}
	return nil
}

// changeContexts changes the file, and shows the context of that name.
func (a *app) changeContexts(name string, change func(*contexts) error) error {
	cs, err := a.updateContexts(change)
	if err != nil || a.quiet {
		return err
	}
	return a.showContexts(cs, name)
}

// contextLine is the JSON of a context.
type contextLine struct {
	Name  string `json:"name"`
	InUse bool   `json:"in_use"`
	DSN   string `json:"dsn"` // without secrets
}

func (a *app) showContexts(cs *contexts, names ...string) error {
	out := newPrinter(a, "NAME", "IN USE", "DSN…")
	for _, name := range names {
		line, used := contextLine{name, name == cs.Current, redacted(cs.Contexts[name])}, "-"
		if line.InUse {
			used = "yes"
		}
		out.row(line, name, used, orDash(line.DSN))
	}
	return out.flush()
}

func contextListCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Short:   "List the contexts, without their passwords",
		Example: `  mq context ls`,
		Args:    takes(0, 0),
		RunE: func(*cobra.Command, []string) error {
			cs, err := a.readContexts()
			if err != nil {
				return err
			}
			return a.showContexts(cs, slices.Sorted(maps.Keys(cs.Contexts))...)
		},
	}
}

func contextUseCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "use NAME",
		Short:   "Use a context unless a flag or a variable names another",
		Example: `  mq context add dev mem://dev && mq context use dev`,
		Args:    takes(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.changeContexts(args[0], func(cs *contexts) error {
				_, err := cs.dsn(args[0])
				cs.Current = args[0]
				return err
			})
		},
		ValidArgsFunction: a.completeContext,
	}
}

func contextShowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "show [NAME]",
		Short:   "Show a context, by default the one in use, without its password",
		Example: `  mq context add dev mem://dev && mq context show dev`,
		Args:    takes(0, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			cs, err := a.readContexts()
			if err != nil {
				return err
			}
			name := cs.Current
			if len(args) > 0 {
				name = args[0]
			}
			if name == "" {
				return usagef("no context is in use (mq context use NAME)")
			}
			if _, err := cs.dsn(name); err != nil {
				return err
			}
			return a.showContexts(cs, name)
		},
		ValidArgsFunction: a.completeContext,
	}
}

func contextRemoveCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "rm NAME",
		Short:   "Forget a context",
		Example: `  mq context add dev mem://dev && mq context rm dev`,
		Args:    takes(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			_, err := a.updateContexts(func(cs *contexts) error {
				_, err := cs.dsn(args[0])
				delete(cs.Contexts, args[0])
				if cs.Current == args[0] {
					cs.Current = ""
				}
				return err
			})
			return err
		},
		ValidArgsFunction: a.completeContext,
	}
}

func (a *app) completeContext(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	cs, err := a.readContexts()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return slices.Sorted(maps.Keys(cs.Contexts)), cobra.ShellCompDirectiveNoFileComp
}
