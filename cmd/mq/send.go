package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
)

// sending are the flags of mq send.
type sending struct {
	file, format string
	delay        time.Duration
	headers      []string
	group        string
}

func sendCommand(a *app) *cobra.Command {
	var s sending
	cmd := &cobra.Command{
		Use:   "send QUEUE {BODY... | -}",
		Short: "Send messages from arguments, a file or the standard input",
		Long: `Send messages from arguments, a file or the standard input.

Each argument is the body of a message. With - the standard input is read, with
-file a file, as -format says:

  ndjson   each line is a body, and must be JSON; empty lines are passed over
  lines    each line is a body, whatever it is
  raw      all of it is one body, byte for byte
  records  each line is a message as -o json shows it, with its group and headers

The ids of the messages are shown, or of -file and - how many there were. If
something fails it is said which lines have been sent.`,
		Example: `  mq send orders '{"id":1}' '{"id":2}'
  mq send orders -delay 5m -header source=cron -group customer-7 '{"id":3}'
  seq 1 10000 | jq -c '{n:.}' | mq send orders -
  mq peek orders -n 100 -o json | mq send copies -format records -
  mq send images -format raw -file cat.png`,
		Args: takes(1, many),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.send(cmd.Context(), s, args[0], args[1:])
		},
		ValidArgsFunction: a.completeQueue,
	}
	flags := cmd.Flags()
	flags.StringVarP(&s.file, "file", "f", "", "read messages from a `file`, - for the standard input")
	flags.StringVar(&s.format, "format", "", "what the input is: `ndjson`, lines, raw or records (default ndjson)")
	flags.DurationVar(&s.delay, "delay", 0, "hide the messages for a while")
	flags.StringArrayVarP(&s.headers, "header", "H", nil, "a header as `name=value`; may be repeated")
	flags.StringVarP(&s.group, "group", "g", "", "the messages' FIFO `group`")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (a *app) send(ctx context.Context, s sending, queue string, bodies []string) error {
	template, err := s.template()
	if err != nil {
		return err
	}
	if len(bodies) == 1 && bodies[0] == "-" && s.file == "" {
		s.file, bodies = "-", nil
	}
	switch {
	case s.file == "" && len(bodies) == 0:
		return usagef("nothing to send: give a body, - for the standard input or -file")
	case s.file != "" && len(bodies) > 0:
		return usagef("a body and -file do not go together")
	case slices.Contains(bodies, "-"):
		return usagef("- reads the standard input, and goes with no other body")
	case s.file == "" && s.format != "":
		return usagef("-format is for - and -file")
	}
	in, err := a.openInput(s.file)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	return a.with(func(c *mq.Client) error {
		q := c.Queue(queue)
		if s.file == "" {
			return a.sendBodies(ctx, q, template, bodies)
		}
		return a.sendAll(ctx, q, newReader(in, cmp.Or(s.format, formats[0]), template, c.Caps().MaxBody))
	})
}

// template returns a message with what the flags say.
func (s sending) template() (mq.Message, error) {
	m := mq.Message{Group: s.group, Delay: s.delay}
	if s.format != "" && !slices.Contains(formats, s.format) {
		return m, usagef("unknown format %q (give -format %s)", s.format, strings.Join(formats, ", "))
	}
	for _, h := range s.headers {
		name, value, ok := strings.Cut(h, "=")
		if !ok || name == "" {
			return m, usagef("a header is given as -header name=value")
		}
		if m.Headers == nil {
			m.Headers = make(mq.Headers)
		}
		m.Headers[name] = value
	}
	return m, nil
}

// openInput opens a file, or the standard input for "-". "" is nothing.
func (a *app) openInput(name string) (io.ReadCloser, error) {
	switch name {
	case "":
		return io.NopCloser(strings.NewReader("")), nil
	case "-":
		return io.NopCloser(a.stdin), nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, &usageError{err}
	}
	return f, nil
}

// sentLine is the JSON of a message that was sent.
type sentLine struct {
	Queue string `json:"queue"`
	ID    string `json:"id"`
}

// sendBodies sends the arguments and shows their ids.
func (a *app) sendBodies(ctx context.Context, q *mq.Queue, template mq.Message, bodies []string) error {
	msgs := make([]*mq.Message, len(bodies))
	for i, body := range bodies {
		m := template
		m.Body = []byte(body)
		msgs[i] = &m
	}
	ids, err := q.SendAll(ctx, msgs)
	out := newPrinter(a, "ID")
	sent := 0
	for _, id := range ids {
		if id != "" {
			out.row(sentLine{q.Name(), id}, id)
			sent++
		}
	}
	if err != nil && len(bodies) > 1 {
		err = fmt.Errorf("%w (sent %d of %d messages%s)", err, sent, len(bodies), perhaps(err))
	}
	out.fail(err)
	return out.flush()
}

// perhaps says that those not known to be sent may be.
func perhaps(err error) string {
	if errors.Is(err, mq.ErrUnavailable) {
		return ", perhaps more"
	}
	return ""
}
