package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
	"github.com/portmq/mq/mqcron"
	"github.com/portmq/mq/mqui"
)

// uiFlags are the flags of mq ui.
type uiFlags struct {
	serving
	operate, demo   bool
	bodies, headers string
	trace           string
}

func uiCommand(a *app) *cobra.Command {
	var u uiFlags
	cmd := &cobra.Command{
		Use:   "ui [QUEUE...]",
		Short: "Serve a web page that shows queues, and with -operate acts on them",
		Long: `Serve a web page that shows queues, messages, dead letters and consumers, of one
provider or of several. It changes nothing unless -operate allows it; then each
action writes a line to the error output: who, what, and how many messages.

By default only this machine can reach it. Any other address needs -credentials,
and should have a proxy with TLS in front of it. /metrics, /healthz and /api/ are
those of mq export.

Name queues only if the provider cannot list them, as on RabbitMQ.

-demo fills queues in memory and works on them, so that you can look around;
actions are allowed there.`,
		Example: `  mq -dsn mem://demo ui -demo
  mq ui -dsn pgmq://app@localhost/shop -dsn sqlite://queue.db
  mq ui -operate -bodies never -trace 'https://traces.example.com/{trace}'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := u.open(a)
			if err == nil {
				err = u.run(cmd.Context(), a, all, args)
			}
			return errors.Join(err, closeAll(all))
		},
		ValidArgsFunction: a.completeQueues,
	}
	u.flags(cmd, "127.0.0.1:8080")
	f := cmd.Flags()
	f.BoolVar(&u.operate, "operate", false, "allow actions: redrive, remove, pause, send, purge and the like")
	f.BoolVar(&u.demo, "demo", false, "send messages and work on them, in memory")
	f.StringVar(&u.bodies, "bodies", "click", "when bodies are shown: `click`, always or never")
	f.StringVar(&u.headers, "headers", "click", "when the values of headers are shown: `click`, always or never")
	f.StringVar(&u.trace, "trace", "", "the `address` of a trace, with {trace} for its id")
	for _, name := range []string{"bodies", "headers"} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions([]string{"click", "always", "never"}, cobra.ShellCompDirectiveNoFileComp))
	}
	return cmd
}

func (u *uiFlags) run(ctx context.Context, a *app, all []origin, queues []string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	o, err := u.options(a)
	if err != nil {
		return err
	}
	stopDemo := func() error { return nil }
	if u.demo {
		if stopDemo, err = startDemo(ctx, cancel, all); err != nil {
			return err
		}
	}
	ui, err := mqui.New(u.sources(a, all, queues), o)
	if err != nil {
		return errors.Join(err, stopDemo())
	}
	closing := func() error { cancel(); return errors.Join(ui.Close(), stopDemo()) }
	h, err := u.handler(a, ui, all, queues)
	if err != nil {
		return errors.Join(err, closing())
	}
	return u.serve(ctx, a, u.what(), h, closing)
}

func (u *uiFlags) what() string {
	if u.operate || u.demo {
		return "the page, with actions,"
	}
	return "the page, read-only (see -operate),"
}

// handler serves the page, and the exporter beside it.
func (u *uiFlags) handler(a *app, ui *mqui.UI, all []origin, queues []string) (http.Handler, error) {
	e, err := u.exporter(all, queues)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/", ui)
	for _, path := range []string{"/metrics", "/healthz", "/api/"} {
		mux.Handle(path, e)
	}
	return u.protect(a, mux)
}

func (u *uiFlags) options(a *app) (o mqui.Options, err error) {
	o = mqui.Options{
		TraceURL: u.trace, Version: built(), Hosts: []string{"*"}, // protect has checked them
		Logger: slog.New(slog.NewTextHandler(a.stderr, nil)),
	}
	if o.Bodies, err = shown("bodies", u.bodies); err != nil {
		return o, err
	}
	if o.Headers, err = shown("headers", u.headers); err != nil {
		return o, err
	}
	if u.operate || u.demo {
		o.Authorize = func(*http.Request) mqui.Role { return mqui.RoleOperate }
	}
	return o, nil
}

func shown(flag, text string) (mqui.Show, error) {
	switch text {
	case "click":
		return mqui.ShowOnClick, nil
	case "always":
		return mqui.ShowAlways, nil
	case "never":
		return mqui.ShowNever, nil
	}
	return 0, usagef("%q is not a value for flag -%s: it takes click, always or never", text, flag)
}

func (u *uiFlags) sources(a *app, all []origin, queues []string) (sources []mqui.Source) {
	for _, o := range all {
		s := mqui.Source{
			Name: o.name, Client: o.client, Queues: queues,
			Findings: func(ctx context.Context) ([]mqui.Finding, error) { return doctorFindings(ctx, a, o) },
		}
		if o.client.Caps().Delay {
			s.Schedules = schedules{o.client}
		}
		sources = append(sources, s)
	}
	return sources
}

// doctorFindings returns what the doctor finds wrong. It changes nothing: on RabbitMQ,
// where looking at a queue declares it, it looks at none.
func doctorFindings(ctx context.Context, a *app, o origin) ([]mqui.Finding, error) {
	d := &doctor{app: a, client: o.client, dsn: o.dsn}
	err := d.examine(ctx, nil)
	var wrong []mqui.Finding
	for _, f := range d.found {
		switch f.Level {
		case "problem":
			wrong = append(wrong, mqui.Finding{Level: mqui.LevelProblem, Where: f.Where, Text: f.Finding})
		case "advice":
			wrong = append(wrong, mqui.Finding{Level: mqui.LevelAdvice, Where: f.Where, Text: f.Finding})
		}
	}
	return wrong, err
}

// schedules are the schedules in mqcron's default control queue.
type schedules struct{ client *mq.Client }

// List returns none where no process has ever made a schedule.
func (s schedules) List(ctx context.Context) ([]mqui.Schedule, error) {
	all, err := mqcron.List(ctx, s.client, mqcron.Config{})
	if errors.Is(err, mq.ErrQueueNotFound) || errors.Is(err, mq.ErrNotSupported) {
		return nil, nil
	}
	out := make([]mqui.Schedule, len(all))
	for i, one := range all {
		out[i] = mqui.Schedule{Name: one.Name, Spec: one.Spec, Zone: one.Zone, Queue: one.Queue, CatchUp: string(one.CatchUp), Next: one.Next}
	}
	return out, err
}

// Run sends the message of a schedule now.
func (s schedules) Run(ctx context.Context, name string) (string, error) {
	return mqcron.RunNow(ctx, s.client, mqcron.Config{}, name)
}
