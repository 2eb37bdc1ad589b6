package main

import (
	"errors"

	"github.com/spf13/cobra"
)

func exportCommand(a *app) *cobra.Command {
	var s serving
	cmd := &cobra.Command{
		Use:   "export [QUEUE...]",
		Short: "Serve metrics of queues to Prometheus, autoscalers and health checks",
		Long: `Serve metrics of queues to Prometheus, autoscalers and health checks:

  /metrics               in Prometheus' format
  /api/v1/queues/NAME    as JSON, also for KEDA's scaler metrics-api
  /api/v1/queues         all of them
  /healthz               200 while all providers answer, else 503

Name queues only if the provider cannot list them, as on RabbitMQ. The metrics,
and alerts for them, are in docs/observability.md.`,
		Example: `  mq export -dsn pgmq://app@localhost/shop
  mq export -listen :9090 -credentials env:METRICS_TOKEN -host mq-export`,
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := s.open(a)
			if err == nil {
				err = s.export(cmd, a, all, args)
			}
			return errors.Join(err, closeAll(all))
		},
		ValidArgsFunction: a.completeQueues,
	}
	s.flags(cmd, "127.0.0.1:9090")
	return cmd
}

func (s *serving) export(cmd *cobra.Command, a *app, all []origin, queues []string) error {
	e, err := s.exporter(all, queues)
	if err != nil {
		return err
	}
	h, err := s.protect(a, e)
	if err != nil {
		return err
	}
	return s.serve(cmd.Context(), a, "metrics", h, func() error { return nil })
}
