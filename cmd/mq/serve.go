package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portmq/mq"
	"github.com/portmq/mq/mqui"
	"github.com/portmq/mq/mqui/export"
)

// serving are the flags of the commands that serve HTTP.
type serving struct {
	dsns, contexts []string
	listen         string
	hosts          []string
	credentials    string
}

func (s *serving) flags(cmd *cobra.Command, listen string) {
	f := cmd.Flags()
	// They replace the flags of the same name that all commands have.
	f.StringArrayVar(&s.dsns, "dsn", nil, "a provider's `DSN`, or env:NAME to read it from a variable; may be repeated (default $MQ_DSN)")
	f.StringArrayVar(&s.contexts, "context", nil, "use the context of this `name` (see mq context); may be repeated (default $MQ_CONTEXT)")
	f.StringVar(&s.listen, "listen", listen, "the `address` to listen on: any but a loopback one needs -credentials")
	f.StringArrayVar(&s.hosts, "host", nil, "a host `name` under which it is reached, besides localhost and its address; * is any; may be repeated")
	f.StringVar(&s.credentials, "credentials", "", "a `file`, or env:NAME for a variable, with one user:password or token per line")
}

// origin is a provider that is served.
type origin struct {
	name, dsn string
	client    *mq.Client
}

// open opens the providers that the flags name, or the one that other commands would use.
// The caller closes them, also after an error.
func (s *serving) open(a *app) (all []origin, err error) {
	add := func(name, dsn string) error {
		c, err := a.openDSN(dsn)
		if err == nil {
			all = append(all, origin{s.unused(all, cmp.Or(name, originName(dsn))), dsn, c})
		}
		return err
	}
	for _, text := range s.dsns {
		dsn, err := a.namedDSN(text)
		if err == nil {
			err = add("", dsn)
		}
		if err != nil {
			return all, err
		}
	}
	for _, name := range s.contexts {
		a.context = name
		dsn, err := a.contextDSN()
		if err == nil {
			err = add(name, dsn)
		}
		if err != nil {
			return all, err
		}
	}
	if len(all) == 0 {
		dsn, err := a.theDSN()
		if err == nil {
			err = add("", dsn)
		}
		return all, err
	}
	return all, nil
}

// originName names a provider by its database, file or host, which are no secrets.
func originName(dsn string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		return "queues"
	}
	switch base := path.Base(u.Path); {
	case base != "." && base != "/":
		return base
	case u.Host != "":
		return cmp.Or(u.Hostname(), u.Scheme)
	}
	return u.Scheme
}

// unused makes name different from those of the others.
func (s *serving) unused(all []origin, name string) string {
	taken := make(map[string]bool)
	for _, o := range all {
		taken[o.name] = true
	}
	free := name
	for n := 2; taken[free]; n++ {
		free = fmt.Sprintf("%s-%d", name, n)
	}
	return free
}

func closeAll(all []origin) error {
	var errs []error
	for _, o := range all {
		errs = append(errs, o.client.Close())
	}
	return errors.Join(errs...)
}

// protect puts h behind the credentials, if there are any, and refuses requests for
// foreign hosts.
func (s *serving) protect(a *app, h http.Handler) (http.Handler, error) {
	if err := mqui.CheckListen(s.listen, s.credentials != ""); err != nil {
		return nil, &usageError{err}
	}
	h = mqui.CheckHost(h, s.hosts)
	if s.credentials == "" {
		return h, nil
	}
	var known *mqui.Credentials
	var err error
	if name, ok := strings.CutPrefix(s.credentials, "env:"); ok {
		known, err = mqui.ParseCredentials(a.getenv(name))
	} else {
		known, err = mqui.CredentialsFile(s.credentials)
	}
	if err != nil {
		return nil, err
	}
	return mqui.Protect(h, known), nil
}

// exporter returns the handler of /metrics, /healthz and /api/.
func (s *serving) exporter(all []origin, queues []string) (*export.Exporter, error) {
	var sources []export.Source
	for _, o := range all {
		sources = append(sources, export.Source{Name: o.name, Client: o.client, Queues: queues})
	}
	return export.New(sources, export.Options{})
}

// serveGrace is how long requests under way have to end.
const serveGrace = 3 * time.Second

// serve serves h until ctx ends, and then calls closing before it waits for requests under
// way.
func (s *serving) serve(ctx context.Context, a *app, what string, h http.Handler, closing func() error) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", s.listen)
	if err != nil {
		return errors.Join(err, closing())
	}
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	a.note("%s at http://%s", what, l.Addr())
	select {
	case err = <-done:
		return errors.Join(err, closing())
	case <-ctx.Done():
	}
	err = closing() // it ends the streams
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), serveGrace)
	defer cancel()
	if srv.Shutdown(grace) != nil {
		_ = srv.Close()
	}
	return err
}
