package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/portmq/mq/internal/chaos/judge"
)

// rabbit is the provider rabbitmq: a node of its own, or a cluster of three.
type rabbit struct {
	size     int
	dir      string
	disk     *smallDisk
	epmdPort string
	epmd     *servant
	nodes    []*rabbitNode
	password string // of the workers and of the keeper
}

// rabbitNode is a node, and the way of the workers to it.
type rabbitNode struct {
	*servant
	name, dir, port, dist string
	script                string
	way                   *proxy
}

// rabbitBin is where Debian's package has its programs. Those in the PATH are wrappers that
// change user and environment.
const rabbitBin = "/usr/lib/rabbitmq/bin"

func (b *rabbit) facts() judge.Facts { return judge.Facts{Copies: true, UndoneBy: "crash"} }

func (b *rabbit) dsn(keeper bool) string {
	var hosts []string
	for _, n := range b.nodes {
		if keeper {
			hosts = append(hosts, "127.0.0.1:"+n.port)
		} else {
			hosts = append(hosts, n.way.addr())
		}
	}
	user := "worker"
	password := b.password
	if keeper {
		user, password = "keeper", "keeper"
	}
	return "rabbitmq://" + user + ":" + password + "@" + strings.Join(hosts, ",") + "/"
}

func (b *rabbit) start(ctx context.Context, dir string) (err error) {
	if _, err := os.Stat(filepath.Join(rabbitBin, "rabbitmq-server")); err != nil {
		return errors.New("no RabbitMQ in " + rabbitBin + ": install rabbitmq-server")
	}
	b.dir, b.password = dir, rand.Text()
	base := dir
	if b.size == 1 {
		if b.disk, err = newSmallDisk(filepath.Join(dir, "disk"), "1g"); err == nil {
			base = b.disk.path
		} else if !errors.Is(err, errSkipped) {
			return err
		}
	}
	if err := errors.Join(give(dir), give(base)); err != nil {
		return err
	}
	if b.epmdPort, err = freePort(); err != nil {
		return err
	}
	program, err := exec.LookPath("epmd")
	if err != nil {
		return fmt.Errorf("no Erlang: %w", err)
	}
	if b.epmd, err = serve(dir, "epmd", nil, program, "-address", "127.0.0.1", "-port", b.epmdPort); err != nil {
		return err
	}
	for range b.size {
		if err := b.add(base); err != nil {
			return err
		}
	}
	for _, n := range b.nodes { // the first before the others, which look for it
		if err := b.run(ctx, n); err != nil {
			return err
		}
	}
	return b.users(ctx)
}

// rabbitConfig is all that differs from the defaults.
const rabbitConfig = `listeners.tcp.1 = 127.0.0.1:%s
default_user = keeper
default_pass = keeper
log.console = false
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 20MB
cluster_partition_handling = pause_minority
cluster_formation.peer_discovery_backend = classic_config
`

// add makes a node, but does not start it.
func (b *rabbit) add(base string) (err error) {
	n := new(rabbitNode)
	if n.port, err = freePort(); err != nil {
		return err
	}
	if n.dist, err = freePort(); err != nil {
		return err
	}
	n.name, n.dir = "chaos"+n.port+"@localhost", filepath.Join(base, "node-"+n.port)
	n.script = filepath.Join(n.dir, "node")
	if n.way, err = newProxy("127.0.0.1:" + n.port); err != nil {
		return err
	}
	b.nodes = append(b.nodes, n)
	return errors.Join(give(n.dir), os.WriteFile(n.script, []byte(b.environment(n)), 0o644))
}

// configure writes the configuration of a node, once all of them have names.
func (b *rabbit) configure(n *rabbitNode) error {
	var config strings.Builder
	fmt.Fprintf(&config, rabbitConfig, n.port)
	for i, o := range b.nodes {
		fmt.Fprintf(&config, "cluster_formation.classic_config.nodes.%d = %s\n", i+1, o.name)
	}
	return errors.Join(
		os.WriteFile(filepath.Join(n.dir, "rabbitmq.conf"), []byte(config.String()), 0o644),
		os.WriteFile(filepath.Join(n.dir, "advanced.config"), []byte("[{kernel,[{inet_dist_use_interface,{127,0,0,1}}]}].\n"), 0o644),
		os.WriteFile(filepath.Join(n.dir, "enabled_plugins"), []byte("[].\n"), 0o644),
	)
}

// environment is the beginning of every program of a node. As under systemd the server
// takes the place of the shell, so that signals reach it.
func (b *rabbit) environment(n *rabbitNode) string {
	env := []string{
		"HOME=" + b.dir,
		"RABBITMQ_NODENAME=" + n.name,
		"RABBITMQ_NODE_IP_ADDRESS=127.0.0.1",
		"RABBITMQ_NODE_PORT=" + n.port,
		"RABBITMQ_CONF_ENV_FILE=/dev/null",
		"RABBITMQ_CONFIG_FILE=" + filepath.Join(n.dir, "rabbitmq.conf"),
		"RABBITMQ_ADVANCED_CONFIG_FILE=" + filepath.Join(n.dir, "advanced.config"),
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + filepath.Join(n.dir, "enabled_plugins"),
		"RABBITMQ_MNESIA_BASE=" + filepath.Join(n.dir, "mnesia"),
		"RABBITMQ_LOG_BASE=" + filepath.Join(n.dir, "log"),
		"RABBITMQ_PID_FILE=" + filepath.Join(n.dir, "pid"),
		"RABBITMQ_DIST_PORT=" + n.dist,
		"ERL_EPMD_ADDRESS=127.0.0.1",
		"ERL_EPMD_PORT=" + b.epmdPort,
		"RUNNING_UNDER_SYSTEMD=1",
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='+S 2:2 +sbwt none'",
	}
	return "export " + strings.Join(env, " ") + "\nexec " + rabbitBin + "/\"$@\"\n"
}

// run starts a node, and returns when it takes connections.
func (b *rabbit) run(ctx context.Context, n *rabbitNode) (err error) {
	if err := b.configure(n); err != nil {
		return err
	}
	if n.servant, err = serve(b.dir, n.name, nil, "/bin/sh", n.script, "rabbitmq-server"); err != nil {
		return err
	}
	for end := time.Now().Add(limit); ; sleep(ctx, 100*time.Millisecond) {
		c, err := net.DialTimeout("tcp", "127.0.0.1:"+n.port, time.Second)
		if err == nil {
			return c.Close()
		}
		if !n.running() || ctx.Err() != nil || time.Now().After(end) {
			log, _ := os.ReadFile(n.log)
			return fmt.Errorf("RabbitMQ does not start: %w: %s", err, log[max(0, len(log)-2000):])
		}
	}
}

// ctl runs rabbitmqctl on a node.
func (b *rabbit) ctl(ctx context.Context, n *rabbitNode, args ...string) (string, error) {
	cmd, err := command(b.dir, []string{"LC_ALL=C.UTF-8"}, "/bin/sh", append([]string{n.script, "rabbitmqctl", "--quiet"}, args...)...)
	if err != nil {
		return "", err
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("rabbitmqctl %s: %w: %s", args[0], err, out)
	}
	return string(out), nil
}

// users makes the user of the workers.
func (b *rabbit) users(ctx context.Context) error {
	n := b.nodes[0]
	if _, err := b.ctl(ctx, n, "add_user", "worker", b.password); err != nil {
		return err
	}
	if _, err := b.ctl(ctx, n, "set_permissions", "worker", ".*", ".*", ".*"); err != nil {
		return err
	}
	if b.size == 1 {
		return nil
	}
	out, err := b.ctl(ctx, n, "eval", "length(rabbit_nodes:all_running()).")
	if err == nil && strings.TrimSpace(out) != fmt.Sprint(b.size) {
		err = fmt.Errorf("%s of %d nodes have formed a cluster", strings.TrimSpace(out), b.size)
	}
	return err
}

// left counts the connections and channels of workers, and the messages that are delayed for
// ever.
func (b *rabbit) left(ctx context.Context) (what []string, err error) {
	out, err := b.ctl(ctx, b.nodes[0], "list_queues", "name", "messages", "leader", "online")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[0], "mq.delay.") && f[1] != "0" {
			what = append(what, "messages that are delayed: "+strings.TrimSpace(line))
		}
	}
	for _, kind := range []string{"connections", "channels"} {
		n := 0
		for end := time.Now().Add(30 * time.Second); ; sleep(ctx, time.Second) {
			out, err := b.ctl(ctx, b.nodes[0], "list_"+kind, "pid", "user")
			if err != nil {
				return what, err
			}
			if n = strings.Count(out, "worker") + strings.Count(out, "keeper"); n == 0 || time.Now().After(end) {
				break
			}
		}
		if n > 0 {
			what = append(what, fmt.Sprintf("%d %s", n, kind))
		}
	}
	return what, nil
}

func (b *rabbit) stop() (err error) {
	for _, n := range b.nodes {
		err = errors.Join(err, n.way.close())
		if n.servant != nil && n.running() {
			n.toAll(syscall.SIGCONT)
			err = errors.Join(err, n.crash())
		}
	}
	if b.epmd != nil {
		err = errors.Join(err, b.epmd.end(syscall.SIGTERM))
	}
	if b.disk != nil {
		err = errors.Join(err, b.disk.remove())
	}
	return err
}
