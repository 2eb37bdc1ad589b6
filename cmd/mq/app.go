package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/portmq/mq"
)

// app is what the commands share. One app runs one command line.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	asks           *bool   // whether there is a user to ask, nil to find out
	shown          *screen // where tables are shown, nil to find out
	config         string  // the directory of the contexts, "" for the user's

	// Flags of every command.
	dsn     string
	context string // the name of a DSN
	output  string // one of outputs
	verbose bool
	quiet   bool
	level   slog.Level // of what the library logs, without -verbose; 0: errors
	dsnFrom string     // the variable that the DSN is from
	told    []string   // log lines of the library whose content the command reports itself

	duplicates bool // Config.AllowDuplicateMoves

	started     bool // the arguments were right: what fails now is no misuse
	interrupted bool // the commands' context had ended when the command came back

	mu      sync.Mutex
	abort   []func()    // what a second signal calls before it ends the program
	aborted atomic.Bool // that signal has come
}

// run runs one command line and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	root := newRoot(a)
	root.SetArgs(doubleDashes(root, args))
	cmd, err := root.ExecuteContextC(ctx)
	a.interrupted = ctx.Err() != nil
	code := a.exit(cmd, err)
	if a.aborted.Load() { // what was being ended is no success
		return exitInterrupted
	}
	return code
}

// newRoot returns the command with all its subcommands.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "mq",
		Short: "Look after message queues on any provider",
		Long: `Look after message queues on any provider.

The provider is named by a DSN, in -dsn, the environment variable MQ_DSN or a
context (mq help context): pgmq://user@host/database, rabbitmq://user@host/vhost,
sqlite://file.db, mem://name.

Flags may be written with one dash or with two.`,
		Version:           version(),
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: a.begin,
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(flagError)
	root.SetHelpCommand(helpCommand())
	flags := root.PersistentFlags()
	flags.StringVar(&a.dsn, "dsn", "", "the provider's `DSN`, or env:NAME to read it from a variable (default $MQ_DSN)")
	flags.StringVar(&a.context, "context", "", "use the context of this `name` (see mq context; default $MQ_CONTEXT)")
	flags.StringVarP(&a.output, "output", "o", "table", "the `format`: table, wide (nothing cut, times in full) or json (one object per line)")
	flags.BoolVar(&a.quiet, "quiet", false, "only results and errors: no notes, no \"sent 1 message\"")
	flags.BoolVar(&a.verbose, "verbose", false, "show the library's log")
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(outputs, cobra.ShellCompDirectiveNoFileComp))
	_ = root.RegisterFlagCompletionFunc("dsn", cobra.NoFileCompletions)
	_ = root.RegisterFlagCompletionFunc("context", func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return a.completeContext(cmd, nil, "")
	})
	for _, command := range commands {
		root.AddCommand(command(a))
	}
	completionCommand(root)
	return root
}

// begin is called when a command's flags and arguments have been parsed.
func (a *app) begin(cmd *cobra.Command, _ []string) error {
	a.started = true
	switch {
	case !slices.Contains(outputs, a.output):
		return usagef("unknown output format %q (give -o table, wide or json)", a.output)
	case emptied(cmd, "dsn"): // of a variable that is not set, perhaps
		return usagef("-dsn is empty")
	case emptied(cmd, "context"):
		return usagef("-context is empty")
	}
	return checkChoosing(cmd)
}

// emptied reports whether a flag was given without a value, or one of its values is empty.
func emptied(cmd *cobra.Command, name string) bool {
	f := cmd.Flags().Lookup(name)
	if many, ok := f.Value.(pflag.SliceValue); ok {
		return slices.Contains(many.GetSlice(), "")
	}
	return f.Changed && f.Value.String() == ""
}

// outputs are the values of -o.
var outputs = []string{"table", "wide", "json"}

// wide reports whether nothing is to be cut.
func (a *app) wide() bool { return a.output == "wide" }

// json reports whether the output is meant for programs.
func (a *app) json() bool { return a.output == "json" }

// open opens the provider, see theDSN.
func (a *app) open() (*mq.Client, error) {
	dsn, err := a.theDSN()
	if err != nil {
		return nil, err
	}
	return a.openDSN(dsn)
}

// theDSN returns -dsn, or that of -context, MQ_DSN, MQ_CONTEXT or the context in use.
func (a *app) theDSN() (string, error) {
	switch dsn := a.getenv("MQ_DSN"); {
	case a.dsn != "":
		return a.namedDSN(a.dsn)
	case a.context == "" && dsn != "":
		return dsn, nil
	}
	return a.contextDSN()
}

// contextDSN returns the DSN of -context, MQ_CONTEXT or the context in use.
func (a *app) contextDSN() (string, error) {
	cs, err := a.readContexts()
	if err != nil {
		return "", err
	}
	name := cmp.Or(a.context, a.getenv("MQ_CONTEXT"), cs.Current)
	if name == "" {
		return "", usagef("no provider: give -dsn or set MQ_DSN, as in MQ_DSN=pgmq://user@host/database (or name one: mq help context)")
	}
	return a.dsnOf(cs, name)
}

func (a *app) dsnOf(cs *contexts, name string) (string, error) {
	dsn, err := cs.dsn(name)
	if err != nil {
		return "", err
	}
	return a.namedDSN(dsn)
}

// anyDSN returns the DSN that is meant by an argument, which may name a context: every
// DSN has a colon.
func (a *app) anyDSN(text string) (string, error) {
	if text == "" || strings.Contains(text, ":") {
		return a.namedDSN(text)
	}
	cs, err := a.readContexts()
	if err != nil {
		return "", err
	}
	return a.dsnOf(cs, text)
}

// namedDSN returns the DSN that an argument or flag names: env:NAME reads it from a
// variable, since other users of the machine can see arguments, and the passwords in
// them.
func (a *app) namedDSN(text string) (string, error) {
	name, ok := strings.CutPrefix(text, "env:")
	if !ok {
		return text, nil
	}
	a.dsnFrom = name
	if dsn := a.getenv(name); dsn != "" {
		return dsn, nil
	}
	return "", usagef("the environment has no DSN in %q", name)
}

// argDSN takes the DSN from an argument, if there is one.
func (a *app) argDSN(args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case a.dsn != "":
		return usagef("the DSN is given twice: as an argument and in -dsn")
	case args[0] == "":
		return usagef("the DSN is empty")
	}
	a.dsn = args[0]
	return nil
}

// openDSN opens the provider of a DSN. What is wrong with a DSN is a misuse: to
// open needs no backend.
func (a *app) openDSN(dsn string) (*mq.Client, error) {
	c, err := mq.OpenConfig(dsn, mq.Config{Logger: a.logger(), AllowDuplicateMoves: a.duplicates})
	if err != nil {
		return nil, &usageError{err}
	}
	return c, nil
}

// with opens the provider, calls f and closes it.
func (a *app) with(f func(*mq.Client) error) error {
	c, err := a.open()
	if err != nil {
		return err
	}
	return errors.Join(f(c), c.Close())
}

func (a *app) logger() *slog.Logger {
	if a.verbose {
		return slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	level := cmp.Or(a.level, slog.LevelError)
	if a.quiet {
		level = slog.LevelError
	}
	h := slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: level})
	return slog.New(&without{h, a.told})
}

// without is a log without the lines that are reported elsewhere.
type without struct {
	slog.Handler
	told []string
}

// Handle drops those lines.
func (w *without) Handle(ctx context.Context, r slog.Record) error {
	if slices.Contains(w.told, r.Message) {
		return nil
	}
	return w.Handler.Handle(ctx, r)
}

// WithAttrs returns a log without the same lines.
func (w *without) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &without{w.Handler.WithAttrs(attrs), w.told}
}

// WithGroup returns a log without the same lines.
func (w *without) WithGroup(name string) slog.Handler {
	return &without{w.Handler.WithGroup(name), w.told}
}

// note tells the user something that is not the command's output, unless -quiet.
func (a *app) note(format string, args ...any) {
	if !a.quiet {
		a.fault(format, args...)
	}
}

// fault reports what has failed.
func (a *app) fault(format string, args ...any) {
	fmt.Fprintln(a.stderr, "mq:", printable(fmt.Sprintf(format, args...)))
}

// cleanup returns a context for what must still be done after ctx has ended.
func cleanup(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
}
