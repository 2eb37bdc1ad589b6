package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"syscall"
	"time"
)

// folder is a temporary one in which a server runs. Where we are root that is
// as somebody else, since some servers refuse to be root.
type folder struct {
	path string
	user *syscall.Credential // nil: ourselves
	*process
}

func newFolder(name string) (*folder, error) {
	path, err := os.MkdirTemp("", "mq-"+name+"-")
	if err != nil || os.Getuid() != 0 {
		return &folder{path: path}, err
	}
	nobody, err := credential("nobody")
	if err == nil {
		err = os.Chown(path, int(nobody.Uid), int(nobody.Gid))
	}
	return &folder{path: path, user: nobody}, err
}

func credential(name string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
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

func (f *folder) file(name string) string { return filepath.Join(f.path, name) }

// write makes a file that the server may read.
func (f *folder) write(name, text string) error {
	err := os.WriteFile(f.file(name), []byte(text), 0o600)
	if err != nil || f.user == nil {
		return err
	}
	return os.Chown(f.file(name), int(f.user.Uid), int(f.user.Gid))
}

// serve starts the server.
func (f *folder) serve(program string, args ...string) (err error) {
	f.process, err = f.start(program, args...)
	return err
}

// stop ends the server. It is an error if that has ended by itself.
func (f *folder) stop(how syscall.Signal) error {
	p := f.process
	f.process = nil
	return errors.Join(p.end(how), p.release())
}

// remove ends what runs in the folder, and lets go of it last.
func (f *folder) remove() error {
	p := f.process
	if p == nil {
		return os.RemoveAll(f.path)
	}
	return errors.Join(p.end(syscall.SIGQUIT), os.RemoveAll(f.path), p.release())
}

// run runs a program that ends by itself.
func (f *folder) run(program string, args ...string) error {
	p, err := f.start(program, args...)
	if err != nil {
		return err
	}
	if err := errors.Join(p.wait(), p.release()); err != nil {
		return err
	}
	if !p.cmd.ProcessState.Success() {
		return fmt.Errorf("%s: %w", program, p.dead())
	}
	return nil
}

// tied becomes the program of its arguments. If its standard input ends
// without a word, the tests are gone, and it takes program and folder along.
const tied = `
	exec 3<&0
	( {
		read -r _ && exit
		kill -QUIT $$
		for i in 1 2 3 4 5 6 7 8 9; do kill -0 $$ || break; sleep 1; done
		rm -rf "$0"
	} <&3 2>/dev/null & )
	exec "$@" 3<&- </dev/null`

// process is a program that runs.
type process struct {
	cmd  *exec.Cmd
	log  string
	tie  *os.File      // keeps it running
	over chan struct{} // closed when it has ended
}

// start starts a program, which logs to a file of its name.
func (f *folder) start(program string, args ...string) (*process, error) {
	log, err := os.Create(f.file(filepath.Base(program) + ".log"))
	if err != nil {
		return nil, err
	}
	in, tie, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	cmd := exec.Command("/bin/sh", append([]string{"-c", tied, f.path, program}, args...)...)
	cmd.Dir = f.path
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: f.user, Setsid: true} // out of reach of the terminal's ^C
	if err := errors.Join(cmd.Start(), in.Close(), log.Close()); err != nil {
		return nil, errors.Join(err, tie.Close())
	}
	p := &process{cmd: cmd, log: log.Name(), tie: tie, over: make(chan struct{})}
	go p.reap()
	return p, nil
}

// reap waits for the process. A test that restarts a server has not leaked it.
func (p *process) reap() {
	pprof.SetGoroutineLabels(context.Background())
	_ = p.cmd.Wait()
	close(p.over)
}

// dead returns why the process does not run.
func (p *process) dead() error {
	select {
	case <-p.over:
		log, err := os.ReadFile(p.log)
		return errors.Join(fmt.Errorf("%v:\n%s", p.cmd.ProcessState, log), err)
	default:
		return nil
	}
}

// end ends the process, unless it has ended by itself.
func (p *process) end(how syscall.Signal) error {
	if dead := p.dead(); dead != nil {
		return dead
	}
	if err := p.cmd.Process.Signal(how); err != nil {
		return err
	}
	return p.wait()
}

// wait returns when the process has ended.
func (p *process) wait() error {
	select {
	case <-p.over:
		return nil
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.over
		return fmt.Errorf("%s: it did not end, and was killed", p.log)
	}
}

// release says that there is nothing left to take along.
func (p *process) release() error {
	_, err := p.tie.WriteString("ended\n")
	return errors.Join(err, p.tie.Close())
}

// freePort returns a port of loopback on which nobody listens.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	port := l.Addr().(*net.TCPAddr).Port
	return strconv.Itoa(port), l.Close()
}
