package server

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"github.com/ory/dockertest/v3"
	"github.com/ory/dockertest/v3/docker"
)

// defaultImage is what runs unless MQ_TEST_PGMQ_IMAGE says otherwise.
const defaultImage = "postgres:17"

// container is a server in a container of an engine on this machine.
type container struct {
	pool   *dockertest.Pool
	name   string
	reaper *exec.Cmd
	tie    io.Closer // keeps the container
}

// openContainer starts PostgreSQL in a container.
func openContainer() (*Cluster, error) {
	if os.Getenv(binVariable) != "" {
		return nil, errors.New(binVariable + " is set")
	}
	pool, err := engine()
	if err != nil {
		return nil, err
	}
	image := cmp.Or(os.Getenv("MQ_TEST_PGMQ_IMAGE"), defaultImage)
	c := &container{pool: pool, name: fresh()}
	if err := c.reap(); err != nil {
		return nil, err
	}
	port, err := c.run(image)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("a container of %s: %w", image, err), c.remove())
	}
	return connect(ourDSN(c.name, port), "in a container of "+image, c)
}

// engine returns an engine that answers.
func engine() (*dockertest.Pool, error) {
	pool, err := dockertest.NewPool("")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := pool.Client.PingWithContext(ctx); err != nil {
		return nil, fmt.Errorf("no engine answers: %w", err)
	}
	return pool, nil
}

// run pulls the image if the engine has none, and runs it on a port of its
// own: one that the engine chooses changes with each start.
func (c *container) run(image string) (port string, err error) {
	if port, err = freePort(); err != nil {
		return "", err
	}
	repository, tag := docker.ParseRepositoryTag(image)
	_, err = c.pool.RunWithOptions(&dockertest.RunOptions{
		Name:         c.name,
		Repository:   repository,
		Tag:          tag,
		Env:          []string{"POSTGRES_PASSWORD=" + c.name},
		Cmd:          append([]string{"postgres"}, settings...),
		PortBindings: map[docker.Port][]docker.PortBinding{"5432/tcp": {{HostIP: "127.0.0.1", HostPort: port}}},
	})
	return port, err
}

func (c *container) start() error { return c.pool.Client.StartContainer(c.name, nil) }

func (c *container) stop(how syscall.Signal) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := c.pool.Client.KillContainer(docker.KillContainerOptions{ID: c.name, Signal: docker.Signal(how), Context: ctx})
	if err != nil {
		return err
	}
	_, err = c.pool.Client.WaitContainerWithContext(c.name, ctx)
	return err
}

// dead returns why the container does not run.
func (c *container) dead() error {
	state, err := c.pool.Client.InspectContainer(c.name)
	if err != nil || state.State.Running {
		return err
	}
	var log bytes.Buffer
	err = c.pool.Client.Logs(docker.LogsOptions{
		Container: c.name, OutputStream: &log, ErrorStream: &log, Stdout: true, Stderr: true, Tail: "20",
	})
	return errors.Join(fmt.Errorf("%s:\n%s", state.State.String(), &log), err)
}

// reaps is the environment variable that makes a reaper of a program.
const reaps = "MQ_TEST_REAPS"

// A container outlives whoever runs it. So this program starts once more,
// and that process removes the container when the first has gone.
func init() {
	name := os.Getenv(reaps)
	if name == "" {
		return
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	pool, err := dockertest.NewPool("")
	if err == nil {
		err = pool.Client.RemoveContainer(docker.RemoveContainerOptions{ID: name, Force: true, RemoveVolumes: true})
	}
	if gone := new(docker.NoSuchContainer); err != nil && !errors.As(err, &gone) {
		fmt.Fprintf(os.Stderr, "container %s is left behind: %v\n", name, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// reap starts the reaper.
func (c *container) reap() (err error) {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	c.reaper = exec.Command(self)
	c.reaper.Env = append(os.Environ(), reaps+"="+c.name)
	c.reaper.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // away from the terminal's ^C
	if c.tie, err = c.reaper.StdinPipe(); err != nil {
		return err
	}
	return c.reaper.Start()
}

func (c *container) remove() error { return errors.Join(c.tie.Close(), c.reaper.Wait()) }
