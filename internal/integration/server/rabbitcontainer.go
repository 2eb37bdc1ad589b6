package server

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/ory/dockertest/v3"
	"github.com/ory/dockertest/v3/docker"
)

// defaultBrokerImage is what runs unless MQ_TEST_RABBITMQ_IMAGE says
// otherwise. It must have the management plugin.
const defaultBrokerImage = "rabbitmq:4-management"

// containerBroker is a node in a container of an engine on this machine.
type containerBroker struct{ *container }

// openBrokerContainer starts RabbitMQ in a container.
func openBrokerContainer() (*Broker, error) {
	pool, err := engine()
	if err != nil {
		return nil, err
	}
	image := cmp.Or(os.Getenv("MQ_TEST_RABBITMQ_IMAGE"), defaultBrokerImage)
	c := &containerBroker{&container{pool: pool, name: fresh()}}
	if err := c.reap(); err != nil {
		return nil, err
	}
	user, password := "mqtest", secret()
	port, api, err := c.run(image, user, password)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("a container of %s: %w", image, err), c.remove())
	}
	dsn, management := brokerDSN(user, password, port, api)
	return connectBroker(dsn, management, "in a container of "+image, c)
}

// run pulls the image if the engine has none, and runs it on ports of its own.
// Its host name names the node's data, so that it must stay the same.
func (c *containerBroker) run(image, user, password string) (port, api string, err error) {
	if port, err = freePort(); err != nil {
		return "", "", err
	}
	if api, err = freePort(); err != nil {
		return "", "", err
	}
	repository, tag := docker.ParseRepositoryTag(image)
	_, err = c.pool.RunWithOptions(&dockertest.RunOptions{
		Name:       c.name,
		Hostname:   "mqtest",
		Repository: repository,
		Tag:        tag,
		Env:        []string{"RABBITMQ_DEFAULT_USER=" + user, "RABBITMQ_DEFAULT_PASS=" + password},
		PortBindings: map[docker.Port][]docker.PortBinding{
			"5672/tcp":  {{HostIP: "127.0.0.1", HostPort: port}},
			"15672/tcp": {{HostIP: "127.0.0.1", HostPort: api}},
		},
	})
	return port, api, err
}

// ctl runs rabbitmqctl inside.
func (c *containerBroker) ctl(args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	exec, err := c.pool.Client.CreateExec(docker.CreateExecOptions{
		Container: c.name, Cmd: append([]string{"rabbitmqctl", "--quiet"}, args...), AttachStdout: true, AttachStderr: true, Context: ctx,
	})
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := c.pool.Client.StartExec(exec.ID, docker.StartExecOptions{OutputStream: &out, ErrorStream: &out, Context: ctx}); err != nil {
		return err
	}
	result, err := c.pool.Client.InspectExec(exec.ID)
	if err == nil && result.ExitCode != 0 {
		err = fmt.Errorf("rabbitmqctl %s: exit %d\n%s", strings.Join(args, " "), result.ExitCode, &out)
	}
	return err
}
