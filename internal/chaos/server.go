package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// servant is a program that runs as another user if we are root, since servers refuse to
// run as root.
type servant struct {
	cmd  *exec.Cmd
	log  string
	over chan struct{}
}

// serve starts a server. Its log is in dir.
func serve(dir, name string, env []string, program string, args ...string) (*servant, error) {
	s := &servant{log: filepath.Join(dir, name+".log"), over: make(chan struct{})}
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	s.cmd, err = command(dir, env, program, args...)
	if err != nil {
		return nil, err
	}
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := spawn(s.cmd, syscall.SIGQUIT); err != nil {
		return nil, err
	}
	go func() { _ = s.cmd.Wait(); close(s.over) }()
	return s, nil
}

func command(dir string, env []string, program string, args ...string) (*exec.Cmd, error) {
	cred, err := nobody()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "HOME=" + dir}, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred, Setsid: true}
	return cmd, nil
}

// once runs a program that ends by itself.
func once(ctx context.Context, dir string, env []string, program string, args ...string) error {
	cmd, err := command(dir, env, program, args...)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(program), err, out)
	}
	return nil
}

// nobody returns the user of servers, nil if that is us.
func nobody() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, err
}

// give makes a directory of the servers' user.
func give(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	cred, err := nobody()
	if err != nil || cred == nil {
		return err
	}
	return os.Chown(dir, int(cred.Uid), int(cred.Gid))
}

func (s *servant) running() bool {
	select {
	case <-s.over:
		return false
	default:
		return true
	}
}

// end ends the server by a signal.
func (s *servant) end(how syscall.Signal) error {
	if s == nil || !s.running() {
		return nil
	}
	if err := s.cmd.Process.Signal(how); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-s.over:
		return nil
	case <-time.After(time.Minute):
		_ = s.cmd.Process.Kill()
		<-s.over
		return fmt.Errorf("%s: it did not end, and was killed", s.log)
	}
}

// kin returns the pids of the server and of all processes below it.
func (s *servant) kin() []int {
	parents := make(map[int][]int)
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range all {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		_, rest, _ := strings.Cut(string(text[strings.LastIndexByte(string(text), ')'):]), " ")
		if fields := strings.Fields(rest); len(fields) > 1 {
			parent, _ := strconv.Atoi(fields[1])
			parents[parent] = append(parents[parent], pid)
		}
	}
	kin := []int{s.cmd.Process.Pid}
	for i := 0; i < len(kin); i++ {
		kin = append(kin, parents[kin[i]]...)
	}
	return kin
}

// toAll sends a signal to the server and all processes below it.
func (s *servant) toAll(how syscall.Signal) {
	for _, pid := range s.kin() {
		_ = syscall.Kill(pid, how) // one may have ended
	}
}

// crash kills the server and all processes below it.
func (s *servant) crash() error {
	if !s.running() {
		return nil
	}
	kin := s.kin()
	s.toAll(syscall.SIGKILL)
	<-s.over
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		alive := 0
		for _, pid := range kin {
			if syscall.Kill(pid, 0) == nil {
				alive++
			}
		}
		switch {
		case alive == 0:
			return nil
		case time.Now().After(end):
			return fmt.Errorf("%d processes survive kill -9", alive)
		}
	}
}

// freePort returns a port of loopback on which nobody listens.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), l.Close()
}
