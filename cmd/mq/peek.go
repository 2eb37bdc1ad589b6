package main

import (
	"context"
	"iter"
	"strings"

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
)

// peeking are the flags of mq peek.
type peeking struct {
	browsing
	n, scan       int
	state, header string
	match         mq.Match
}

func peekCommand(a *app) *cobra.Command {
	var p peeking
	cmd := &cobra.Command{
		Use:   "peek QUEUE",
		Short: "Show messages without leasing them, oldest first",
		Long: `Show messages without leasing them, oldest first.

With -state, -header, -group or -text it looks at the first -scan messages, shows
those that match, and says how far it looked.`,
		Example: `  mq peek orders
  mq peek orders -newest -n 1000 -o json | jq -c .body
  mq peek orders -after 4711
  mq peek orders -state leased
  mq peek orders -text '"id":4' -header source=cron -scan 1000000`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.check(); err != nil {
				return err
			}
			p.cutBody = a.cutBody()
			return a.with(func(c *mq.Client) error { return p.run(cmd.Context(), a, c.Queue(args[0])) })
		},
		ValidArgsFunction: a.completeQueue,
	}
	flags := cmd.Flags()
	flags.IntVarP(&p.n, "limit", "n", 10, "how many messages to show at most")
	flags.StringVar(&p.after, "after", "", "start after the message with this `id`")
	flags.BoolVar(&p.newest, "newest", false, "newest first")
	flags.StringVar(&p.state, "state", "", "only messages in this `state`: visible, leased or delayed")
	flags.StringVarP(&p.header, "header", "H", "", "only messages with this header, as `name=value`")
	flags.StringVarP(&p.match.Group, "group", "g", "", "only messages of this FIFO `group`")
	flags.StringVar(&p.match.Text, "text", "", "only messages whose body contains this `text`")
	choosing(cmd, "state", "header", "group", "text")
	scanFlag(cmd, &p.scan)
	_ = cmd.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(stateNames, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// states are those of -state.
var (
	states     = []mq.State{mq.StateVisible, mq.StateLeased, mq.StateDelayed}
	stateNames = []string{mq.StateVisible.String(), mq.StateLeased.String(), mq.StateDelayed.String()}
)

// check reads the flags into match.
func (p *peeking) check() error {
	switch {
	case p.n < 1:
		return usagef("-n %d is below 1", p.n)
	case p.scan < 1:
		return usagef("-scan %d is below 1", p.scan)
	}
	for i, name := range stateNames {
		if p.state == name {
			p.match.State = states[i]
		}
	}
	if p.state != "" && p.match.State == mq.AnyState {
		return usagef("unknown state %q (give -state %s)", p.state, strings.Join(stateNames, ", "))
	}
	if p.header == "" {
		return nil
	}
	var ok bool
	if p.match.Header, p.match.Value, ok = strings.Cut(p.header, "="); !ok || p.match.Header == "" {
		return usagef("a header is given as -header name=value")
	}
	return nil
}

func (p *peeking) run(ctx context.Context, a *app, q *mq.Queue) error {
	out := newPrinter(a, recordTitles...)
	records, looked := p.records(ctx, q), new(looked)
	if p.match != (mq.Match{}) {
		records = p.search(ctx, q, looked)
	}
	left := p.n
	for r, err := range records {
		if err != nil {
			out.fail(err)
			break
		}
		out.row(lineOfRecord(q.Name(), r), a.recordCells(r)...)
		if left--; left == 0 || out.err != nil {
			break
		}
	}
	err := out.flush()
	if err == nil && looked.n > 0 {
		a.note("%s", looked)
	}
	return err
}

// looked is how far a search has come.
type looked struct {
	n    int
	last string
	end  bool
}

func (l *looked) String() string {
	if l.end {
		return "looked at all " + plural(int64(l.n), "message")
	}
	return "looked at " + plural(int64(l.n), "message") + ", up to " + l.last + " (-after " + l.last + " goes on, -scan looks further)"
}

// search yields the records that fit, an error last.
func (p *peeking) search(ctx context.Context, q *mq.Queue, l *looked) iter.Seq2[mq.Record, error] {
	return func(yield func(mq.Record, error) bool) {
		var size pager
		l.last = p.after
		for found := 0; found < p.n && l.n < p.scan && !l.end; {
			o := mq.SearchOptions{Match: p.match, Scan: p.scan - l.n}
			o.BrowseOptions = mq.BrowseOptions{
				After: l.last, Newest: p.newest, CutBody: p.cutBody,
				Limit: size.limit(min(maxPage, p.n-found, q.Client().Caps().BatchLimit())),
			}
			f, err := q.Search(ctx, o)
			l.n, l.last, l.end = l.n+f.Looked, f.Last, f.End || f.Looked == 0
			found += len(f.Records)
			if !yieldAll(f.Records, yield) {
				return
			}
			if err != nil {
				yield(mq.Record{}, err)
				return
			}
			size.got(len(f.Records), sizeOf(f.Records))
		}
	}
}
