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

// sending are the flags of mq send and mq publish.
type sending struct {
	file, format string
	delay        time.Duration
	headStart    time.Duration
	expires      time.Duration
	headers      []string
	group        string
	dedup        dedup
}

// sendHelp says what is read.
const sendHelp = `Each argument is the body of a message. With - the standard input is read, with
-file a file, as -format says:

  ndjson   each line is a body, and must be JSON; empty lines are passed over
  lines    each line is a body, whatever it is
  raw      all of it is one body, byte for byte
  records  each line is a message as -o json shows it, with its group and headers
`

func sendCommand(a *app) *cobra.Command {
	var s sending
	cmd := &cobra.Command{
		Use:   "send QUEUE {BODY... | -}",
		Short: "Send messages from arguments, a file or the standard input",
		Long: `Send messages from arguments, a file or the standard input.

` + sendHelp + `
The ids of the messages are shown, or of -file and - how many there were. If
something fails it is said which lines have been sent.

With -dedup the message is not stored while the queue holds its key, which it does
for -dedup-for from the send of the first one on. The id is then that of the
message that holds the key.`,
		Example: `  mq send orders '{"id":1}' '{"id":2}'
  mq send orders -delay 5m -header source=cron -group customer-7 '{"id":3}'
  mq send orders -dedup 'invoice 42' -dedup-for 12h '{"id":4}'
  seq 1 10000 | jq -c '{n:.}' | mq send orders -
  mq peek orders -n 100 -o json | mq send copies -format records -
  mq send images -format raw -file cat.png`,
		Args: takes(1, many),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.send(cmd.Context(), s, args[0], args[1:])
		},
		ValidArgsFunction: a.completeQueue,
	}
	s.flags(cmd)
	s.dedup.flags(cmd)
	return cmd
}

func (s *sending) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVarP(&s.file, "file", "f", "", "read messages from a `file`, - for the standard input")
	flags.StringVar(&s.format, "format", "", "what the input is: `ndjson`, lines, raw or records (default ndjson)")
	flags.DurationVar(&s.delay, "delay", 0, "hide the messages for a while")
	flags.DurationVar(&s.headStart, "head-start", 0, "put the messages in front of others, as if sent that much earlier")
	flags.DurationVar(&s.expires, "expires", 0, "how long the messages are worth handling")
	flags.StringArrayVarP(&s.headers, "header", "H", nil, "a header as `name=value`; may be repeated")
	flags.StringVarP(&s.group, "group", "g", "", "the messages' FIFO `group`")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
}

func (a *app) send(ctx context.Context, s sending, queue string, bodies []string) error {
	return a.input(s, bodies, func(c *mq.Client, msgs []*mq.Message, r *reader) error {
		q := c.Queue(queue)
		switch {
		case s.dedup.key.given:
			return a.sendOnce(ctx, q, msgs, r)
		case r != nil:
			return a.sendAll(ctx, toQueue(q), r)
		}
		return a.sendBodies(ctx, q, msgs)
	})
}

// input opens the provider and calls f with the messages of the arguments, or with what
// reads them.
func (a *app) input(s sending, bodies []string, f func(*mq.Client, []*mq.Message, *reader) error) error {
	if len(bodies) == 1 && bodies[0] == "-" && s.file == "" {
		s.file, bodies = "-", nil
	}
	template, err := s.template(len(bodies))
	if err != nil {
		return err
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
		if s.file == "" {
			return f(c, messages(template, bodies), nil)
		}
		return f(c, nil, newReader(in, cmp.Or(s.format, formats[0]), template, c.Caps().MaxBody))
	})
}

// messages are those of the arguments.
func messages(template mq.Message, bodies []string) []*mq.Message {
	msgs := make([]*mq.Message, len(bodies))
	for i, body := range bodies {
		m := template
		m.Body = []byte(body)
		msgs[i] = &m
	}
	return msgs
}

// template returns a message with what the flags say. Its key is for one message only.
func (s sending) template(bodies int) (mq.Message, error) {
	m := mq.Message{Group: s.group, Delay: s.delay, HeadStart: s.headStart, Expires: s.expires}
	if s.format != "" && !slices.Contains(formats, s.format) {
		return m, usagef("unknown format %q (give -format %s)", s.format, strings.Join(formats, ", "))
	}
	if err := s.dedup.add(&m, bodies == 1 || bodies == 0 && s.format == "raw"); err != nil {
		return m, err
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
	Queue     string `json:"queue"`
	ID        string `json:"id"`
	Duplicate bool   `json:"duplicate,omitempty"`
}

// sendBodies sends the arguments and shows their ids.
func (a *app) sendBodies(ctx context.Context, q *mq.Queue, msgs []*mq.Message) error {
	ids, err := q.SendAll(ctx, msgs)
	out := newPrinter(a, "ID")
	sent := 0
	for _, id := range ids {
		if id != "" {
			out.row(sentLine{Queue: q.Name(), ID: id}, id)
			sent++
		}
	}
	if err != nil && len(msgs) > 1 {
		err = fmt.Errorf("%w (sent %d of %d messages%s)", err, sent, len(msgs), perhaps(err))
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
