package main

import (
	"encoding/json"
	"time"

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
	"github.com/portmq/mq/mqcron"
)

func scheduleListCommand(a *app, cfg *mqcron.Config) *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "List the schedules, and when they are due",
		Long: `List the schedules, and when they are due. A time in the past is overdue: no process
serves the schedules, or the queue is missing.`,
		Example: `  mq schedule ls
  mq schedule ls -o json | jq -r .name`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *mq.Client) error {
				all, err := mqcron.List(cmd.Context(), c, *cfg)
				if err != nil {
					return err
				}
				out := newPrinter(a, "NAME", "SPEC", "ZONE?", "QUEUE", "NEXT", "CATCH-UP?", "BODY…")
				for _, s := range all {
					out.row(lineOfSchedule(s), s.Name, s.Spec, s.Zone, s.Queue, a.nextCell(s.Next), string(s.CatchUp), bodyCell(s.Message.Body))
				}
				return out.flush()
			})
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
}

// nextCell shows when a schedule is due, or since when it has been.
func (a *app) nextCell(next time.Time) string {
	if cell := a.timeCell(next); a.wide() || time.Until(next) > 0 {
		return cell
	}
	return age(time.Since(next)) + " ago"
}

// scheduleLine is the JSON of a schedule.
type scheduleLine struct {
	Name    string          `json:"name"`
	Spec    string          `json:"spec"`
	Zone    string          `json:"zone"`
	Queue   string          `json:"queue"`
	CatchUp string          `json:"catch_up"`
	Set     time.Time       `json:"set"`
	Next    time.Time       `json:"next"`
	Group   string          `json:"group,omitempty"`
	Headers mq.Headers      `json:"headers,omitempty"`
	Body    json.RawMessage `json:"body,omitempty"`
	Base64  *[]byte         `json:"body_base64,omitempty"`
}

func lineOfSchedule(s mqcron.Status) scheduleLine {
	l := scheduleLine{
		Name: s.Name, Spec: s.Spec, Zone: s.Zone, Queue: s.Queue, CatchUp: string(s.CatchUp), Set: s.Set, Next: s.Next,
		Group: s.Message.Group, Headers: s.Message.Headers, Base64: messageLine{body: s.Message.Body}.base64(),
	}
	if l.Base64 == nil {
		l.Body = s.Message.Body
	}
	return l
}
