package main

import (
	"cmp"
	"errors"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// doubleDashes writes long flags that came with one dash with two, as pflag
// wants them. It leaves alone the values of flags, what follows "--", and the
// last word of what a shell asks to be completed. A name means the same kind of
// flag in every command, so that the command need not be known.
func doubleDashes(root *cobra.Command, args []string) []string {
	long, short := make(map[string]*pflag.Flag), make(map[string]*pflag.Flag)
	eachFlag(root, func(f *pflag.Flag) {
		long[f.Name] = f
		if f.Shorthand != "" {
			short[f.Shorthand] = f
		}
	})
	out := append([]string(nil), args...)
	end := len(out)
	if end > 0 && (out[0] == cobra.ShellCompRequestCmd || out[0] == cobra.ShellCompNoDescRequestCmd) {
		end--
	}
	for i := 0; i < end && out[i] != "--"; i++ {
		name, _, hasValue := strings.Cut(strings.TrimLeft(out[i], "-"), "=")
		if out[i] == "-" || !strings.HasPrefix(out[i], "-") {
			continue
		}
		f := long[name]
		if f == nil {
			f = short[name]
		} else {
			out[i] = "--" + strings.TrimLeft(out[i], "-")
		}
		if f == nil && mistyped(out[i]) {
			out[i] = "-" + out[i]
		}
		if f != nil && f.NoOptDefVal == "" && !hasValue {
			i++ // its value
		}
	}
	return out
}

// mistyped reports whether pflag would take a word behind one dash for letters
// that are flags, and for their values: -goup for -g oup.
func mistyped(word string) bool {
	return len(word) > 2 && !strings.HasPrefix(word, "--") && unicode.IsLetter(rune(word[2]))
}

// choosing marks flags that select messages. An empty value is refused, because it would
// select all of them: it usually comes from a variable that is not set.
func choosing(cmd *cobra.Command, names ...string) {
	for _, name := range names {
		_ = cmd.Flags().SetAnnotation(name, choosingFlag, nil) // it fails only if there is no such flag
	}
}

const choosingFlag = "choosing"

// checkChoosing refuses empty values of such flags.
func checkChoosing(cmd *cobra.Command) (err error) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if _, marked := f.Annotations[choosingFlag]; marked && f.Value.String() == "" && err == nil {
			err = usagef("-%s is empty, which would select all messages", f.Name)
		}
	})
	return err
}

// many is no limit for takes.
const many = -1

// takes checks how many arguments there are.
func takes(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || most != many && len(args) > most {
			return usagef("wrong arguments; it is %s", cmd.UseLine())
		}
		return nil
	}
}

// flagError says in our words what pflag says of a flag.
func flagError(_ *cobra.Command, err error) error {
	var (
		unknown *pflag.NotExistError
		missing *pflag.ValueRequiredError
		invalid *pflag.InvalidValueError
	)
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "":
		return usagef("unknown flag -%s", unknown.GetSpecifiedShortnames())
	case errors.As(err, &unknown):
		return usagef("unknown flag -%s", unknown.GetSpecifiedName())
	case errors.As(err, &missing):
		return usagef("flag -%s needs a value", missing.GetFlag().Name)
	case errors.As(err, &invalid):
		kind := invalid.GetFlag().Value.Type()
		return usagef("%q is not a value for flag -%s: it takes %s", invalid.GetValue(), invalid.GetFlag().Name, cmp.Or(kinds[kind], "a "+kind))
	}
	return &usageError{err}
}

// kinds say what flags of a type take.
var kinds = map[string]string{
	"int":      "a whole number",
	"int64":    "a whole number",
	"float64":  "a number",
	"bool":     "true or false",
	"duration": "a time as in 500ms, 90s or 12h",
	"time":     "a time as in 90m, 12h or 30d",
	"held":     "a time as in 90m, 12h or 30d, or queued",
}

// eachFlag calls f for the flags of a command and of all below it.
func eachFlag(cmd *cobra.Command, f func(*pflag.Flag)) {
	cmd.InitDefaultHelpFlag()
	cmd.InitDefaultVersionFlag()
	cmd.Flags().VisitAll(f)
	cmd.PersistentFlags().VisitAll(f)
	for _, sub := range cmd.Commands() {
		eachFlag(sub, f)
	}
}
