package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
)

func publishCommand(a *app) *cobra.Command {
	var s sending
	cmd := &cobra.Command{
		Use:   "publish TOPIC {BODY... | -}",
		Short: "Send messages to all queues that are bound to a topic",
		Long: `Send messages to all queues that are bound to a topic (see mq bind).

` + sendHelp + `
The queues are shown, with the ids of the messages, or of -file and - how many
messages there were. If no queue is bound, nothing is stored, and the command
succeeds. If something fails it is said which lines have been published.`,
		Example: `  mq publish orders.eu.new '{"id":1}'
  seq 1 10000 | jq -c '{n:.}' | mq publish orders.eu.new -`,
		Args: takes(1, many),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.publish(cmd.Context(), s, args[0], args[1:])
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	s.flags(cmd)
	return cmd
}

func (a *app) publish(ctx context.Context, s sending, topic string, bodies []string) error {
	return a.input(s, bodies, func(c *mq.Client, msgs []*mq.Message, r *reader) error {
		if r != nil {
			return a.sendAll(ctx, toTopic(c, topic), r)
		}
		return a.publishBodies(ctx, c, topic, msgs)
	})
}

// publishedLine is the JSON of a message in one of the queues that have got it, as far
// as the provider tells them.
type publishedLine struct {
	Topic string `json:"topic"`
	Queue string `json:"queue,omitempty"`
	ID    string `json:"id"`
}

// publishBodies publishes the arguments and shows the queues that have got them.
func (a *app) publishBodies(ctx context.Context, c *mq.Client, topic string, msgs []*mq.Message) error {
	published, err := c.Publish(ctx, topic, msgs...)
	out := newPrinter(a, "QUEUE", "ID")
	for _, p := range published {
		for _, id := range p.IDs {
			out.row(publishedLine{topic, p.Queue, id}, orDash(p.Queue), id)
		}
	}
	out.fail(err)
	return out.flush()
}
