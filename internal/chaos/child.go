package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/portmq/mq/internal/chaos/work"
)

// spawn starts a process that ends with this one, however this one ends. The kernel
// sends the signal when the thread ends that has started the process, so that thread
// never does.
func spawn(cmd *exec.Cmd, farewell syscall.Signal) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	cmd.SysProcAttr.Pdeathsig = farewell
	result := make(chan error)
	spawns <- func() { result <- cmd.Start() }
	return <-result
}

var spawns = func() chan func() {
	c := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range c {
			f()
		}
	}()
	return c
}()

// child is a process of workers.
type child struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  chan string   // its answers, each after the number of its command
	over chan struct{} // closed when it has ended

	mu   sync.Mutex // of one command at a time
	told int
}

// startChild starts a process, and waits until it works. Its log is a separate file.
func startChild(dir, name string, cfg work.Config) (*child, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(cfg)
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	c := &child{name: name, cmd: exec.Command(program), out: make(chan string, 100), over: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), workerVariable+"="+string(text))
	c.cmd.Stderr = log
	in, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := spawn(c.cmd, syscall.SIGKILL); err != nil {
		return nil, err
	}
	c.in = in
	go c.listen(out)
	if _, err := c.answer(context.Background(), 0, time.Minute); err != nil {
		return nil, errors.Join(fmt.Errorf("process %s does not start: %w", name, err), c.kill())
	}
	return c, nil
}

// listen passes on the answers until the process has ended.
func (c *child) listen(out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		c.out <- lines.Text()
	}
	_ = c.cmd.Wait()
	close(c.over)
}

// tell gives a command, and returns the answer.
func (c *child) tell(ctx context.Context, command string, patience time.Duration) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told++
	_, err := fmt.Fprintf(c.in, "%d %s\n", c.told, command)
	word := ""
	if err == nil {
		word, err = c.answer(ctx, c.told, patience)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %s: %w", c.name, command, err)
	}
	return word, nil
}

// answer returns the answer to a command. Late answers to earlier commands are passed over.
func (c *child) answer(ctx context.Context, number int, patience time.Duration) (string, error) {
	late := time.After(patience)
	for {
		select {
		case line := <-c.out:
			n, line, _ := strings.Cut(line, " ")
			if n != strconv.Itoa(number) {
				continue
			}
			word, ok := strings.CutPrefix(line, "ok")
			if !ok {
				return "", errors.New(line)
			}
			return strings.TrimSpace(word), nil
		case <-c.over:
			return "", fmt.Errorf("it has ended: %v", c.cmd.ProcessState)
		case <-late:
			return "", fmt.Errorf("no answer within %v", patience)
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// exit ends the process in order.
func (c *child) exit(ctx context.Context, patience time.Duration) error {
	if _, err := c.tell(ctx, work.Exit, patience); err != nil {
		c.dump()
		return errors.Join(err, c.kill())
	}
	select {
	case <-c.over:
		return nil
	case <-time.After(patience):
		return errors.Join(fmt.Errorf("%s does not end", c.name), c.kill())
	}
}

// dump makes a hanging process write its stacks to its log.
func (c *child) dump() {
	_ = c.cmd.Process.Signal(syscall.SIGQUIT)
	select {
	case <-c.over:
	case <-time.After(5 * time.Second):
	}
}

func (c *child) kill() error {
	_ = c.cmd.Process.Kill()
	select {
	case <-c.over:
		return nil
	case <-time.After(30 * time.Second):
		return fmt.Errorf("%s: kill -9 does not end it", c.name)
	}
}

func (c *child) signal(s syscall.Signal) error { return c.cmd.Process.Signal(s) }
