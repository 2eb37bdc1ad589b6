package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// localBroker is a private node, made with the programs of this machine. Its
// epmd, with which rabbitmqctl finds it, is a private one as well.
type localBroker struct {
	*folder
	bin                       string
	port, api, dist, epmdPort string
	epmd                      *process
	user, password            string
}

// brokerBin is where Debian's package has its programs. Those in the PATH are
// wrappers that change user and environment.
const brokerBin = "/usr/lib/rabbitmq/bin"

// openBrokerLocal makes a node and starts it.
func openBrokerLocal() (*Broker, error) {
	bin, err := brokerPrograms()
	if err != nil {
		return nil, err
	}
	folder, err := newFolder("rabbitmq")
	if err != nil {
		return nil, err
	}
	l := &localBroker{folder: folder, bin: bin, user: "mqtest", password: secret()}
	if err := l.init(); err != nil {
		return nil, errors.Join(err, l.remove())
	}
	dsn, api := brokerDSN(l.user, l.password, l.port, l.api)
	return connectBroker(dsn, api, "with "+bin, l)
}

func brokerPrograms() (bin string, err error) {
	if _, err := os.Stat(filepath.Join(brokerBin, "rabbitmq-server")); err == nil {
		return brokerBin, nil
	}
	path, err := exec.LookPath("rabbitmq-server")
	if err != nil {
		return "", errors.New("there is no rabbitmq-server in PATH or " + brokerBin + ": install rabbitmq-server")
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", err
	}
	return filepath.Dir(path), nil
}

// brokerConfig and brokerLimits are all that differs from the defaults.
const brokerConfig = `listeners.tcp.1 = 127.0.0.1:%s
management.tcp.ip = 127.0.0.1
management.tcp.port = %s
default_user = %s
default_pass = %s
default_user_tags.administrator = true
log.console = false
`

// brokerLimits spare the machine. The figures of the management plugin are not
// collected: they cost time, and are late.
var brokerLimits = `management_agent.disable_metrics_collector = true
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 50MB
`

func (l *localBroker) init() (err error) {
	for _, port := range []*string{&l.port, &l.api, &l.dist, &l.epmdPort} {
		if *port, err = freePort(); err != nil {
			return err
		}
	}
	err = errors.Join(
		l.write("rabbitmq.conf", fmt.Sprintf(brokerConfig, l.port, l.api, l.user, l.password)+brokerLimits),
		l.write("advanced.config", "[{kernel,[{inet_dist_use_interface,{127,0,0,1}}]}].\n"),
		l.write("enabled_plugins", "[rabbitmq_management].\n"),
		l.write("node", l.script()),
	)
	if err != nil {
		return err
	}
	epmd, err := exec.LookPath("epmd")
	if err != nil {
		return fmt.Errorf("no Erlang: %w", err)
	}
	if l.epmd, err = l.folder.start(epmd, "-address", "127.0.0.1", "-port", l.epmdPort); err != nil {
		return err
	}
	return l.start()
}

// script runs one of RabbitMQ's programs. As under systemd the server takes
// the place of the shell, so that signals reach it.
func (l *localBroker) script() string {
	env := []string{
		"HOME=" + l.path,
		"RABBITMQ_NODENAME=" + l.name(),
		"RABBITMQ_NODE_IP_ADDRESS=127.0.0.1",
		"RABBITMQ_NODE_PORT=" + l.port,
		"RABBITMQ_CONF_ENV_FILE=/dev/null",
		"RABBITMQ_CONFIG_FILE=" + l.file("rabbitmq.conf"),
		"RABBITMQ_ADVANCED_CONFIG_FILE=" + l.file("advanced.config"),
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + l.file("enabled_plugins"),
		"RABBITMQ_MNESIA_BASE=" + l.file("mnesia"),
		"RABBITMQ_LOG_BASE=" + l.file("log"),
		"RABBITMQ_PID_FILE=" + l.file("pid"),
		"RABBITMQ_DIST_PORT=" + l.dist,
		"ERL_EPMD_ADDRESS=127.0.0.1",
		"ERL_EPMD_PORT=" + l.epmdPort,
		"RUNNING_UNDER_SYSTEMD=1",
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='+sbwt none'",
	}
	return "export " + strings.Join(env, " ") + "\nexec " + l.bin + "/\"$@\"\n"
}

func (l *localBroker) name() string { return "mqtest" + l.port + "@localhost" }

func (l *localBroker) start() error { return l.serve("/bin/sh", l.file("node"), "rabbitmq-server") }

func (l *localBroker) ctl(args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := l.tool(ctx, args)
	cmd.Dir = l.path
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "HOME=" + l.path, "ERL_EPMD_PORT=" + l.epmdPort}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: l.folder.user}
	out, err := cmd.CombinedOutput()
	if err == nil && bytes.HasPrefix(out, []byte("{error, ")) {
		err = errors.New("the expression failed")
	}
	if err != nil {
		return fmt.Errorf("rabbitmqctl %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// tool is rabbitmqctl, or erl_call, which evaluates an expression without the
// start of a second Erlang node: that takes seconds of processor time.
func (l *localBroker) tool(ctx context.Context, args []string) *exec.Cmd {
	path, err := exec.LookPath("erl_call")
	if err != nil || len(args) != 2 || args[0] != "eval" {
		return exec.CommandContext(ctx, "/bin/sh", append([]string{l.file("node"), "rabbitmqctl", "--quiet"}, args...)...)
	}
	cmd := exec.CommandContext(ctx, path, "-r", "-n", l.name(), "-e")
	cmd.Stdin = strings.NewReader(args[1] + "\n")
	return cmd
}

// remove ends both processes. The folder is gone when the first is, so that
// what epmd may say of it does not matter.
func (l *localBroker) remove() error {
	err := l.folder.remove()
	if l.epmd == nil {
		return err
	}
	return errors.Join(err, l.epmd.end(syscall.SIGTERM), l.epmd.release())
}
