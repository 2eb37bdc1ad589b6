package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
	"github.com/portmq/mq/mqcron"
)

// catchUps are the values of -catch-up, the default first.
var catchUps = []string{string(mqcron.CatchUpOne), string(mqcron.CatchUpAll), string(mqcron.CatchUpNone)}

func scheduleSetCommand(a *app, cfg *mqcron.Config) *cobra.Command {
	var (
		s       mqcron.Schedule
		message sending
		catchUp string
	)
	cmd := &cobra.Command{
		Use:   "set NAME SPEC QUEUE BODY",
		Short: "Make a schedule, or change one",
		Long: `Make a schedule, or change one. SPEC says when BODY is sent to QUEUE:

  '*/10 * * * *'       minute, hour, day of the month, month, day of the week
  '30 6 * * MON-FRI'   at 6:30 from Monday to Friday
  @hourly, @daily, @weekly, @monthly, @yearly
  '@every 90s'         with that much time in between, a second or more

The times are those of -zone. A time of day in the hour that does not exist comes
an hour later, and in the hour that comes twice it comes once. To set what is there
already changes nothing. A change counts from the next time on.`,
		Example: `  mq schedule set report '0 6 * * MON-FRI' orders '{"report":"daily"}' -zone Europe/Berlin
  mq schedule set sweep '@every 90s' orders '{}' -catch-up none`,
		Args: takes(4, 4),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := message.template(1)
			if err != nil {
				return err
			}
			if !slices.Contains(catchUps, catchUp) {
				return usagef("unknown -catch-up %q (give %s)", catchUp, strings.Join(catchUps, ", "))
			}
			m.Body = []byte(args[3])
			s.Name, s.Spec, s.Queue, s.Message, s.CatchUp = args[0], args[1], args[2], m, mqcron.CatchUp(catchUp)
			return a.with(func(c *mq.Client) error {
				if err := mustExist(cmd.Context(), c, s.Queue); err != nil {
					return err
				}
				return mqcron.Set(cmd.Context(), c, *cfg, s)
			})
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) != 2 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return a.completeQueues(cmd, args, toComplete)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&s.Zone, "zone", "UTC", "the time `zone`, as in Europe/Berlin")
	flags.StringVar(&catchUp, "catch-up", catchUps[0], "how many messages are sent for what was missed by more than a minute: `one`, all or none")
	flags.StringArrayVarP(&message.headers, "header", "H", nil, "a header as `name=value`; may be repeated")
	flags.StringVarP(&message.group, "group", "g", "", "the messages' FIFO `group`")
	_ = cmd.RegisterFlagCompletionFunc("catch-up", cobra.FixedCompletions(catchUps, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}
