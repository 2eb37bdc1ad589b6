package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// contexts are DSNs with names, kept in a file that only its owner may read.
type contexts struct {
	path string

	Current  string            `json:"current,omitempty"`
	Contexts map[string]string `json:"contexts"` // a DSN, or env:NAME, by name
}

// readContexts reads the file. There are none if there is no file.
func (a *app) readContexts() (*contexts, error) {
	dir := a.config
	if dir == "" {
		user, err := os.UserConfigDir()
		if err != nil {
			return &contexts{}, nil // and no home: there can be none
		}
		dir = filepath.Join(user, "mq")
	}
	cs := &contexts{path: filepath.Join(dir, "contexts.json")}
	text, err := os.ReadFile(cs.path)
	if errors.Is(err, fs.ErrNotExist) {
		return cs, nil
	}
	if err == nil {
		err = cs.private()
	}
	if err == nil {
		if err = json.Unmarshal(text, cs); err != nil {
			err = fmt.Errorf("%s is damaged: %w (repair or remove it)", cs.path, err)
		}
	}
	return cs, err
}

// private refuses a file or a directory that others may read.
func (cs *contexts) private() error {
	if runtime.GOOS == "windows" {
		return nil // it has no such modes
	}
	for path, mode := range map[string]fs.FileMode{cs.path: 0o600, filepath.Dir(cs.path): 0o700} {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if got := info.Mode().Perm(); got&0o077 != 0 {
			return fmt.Errorf("others have access to %s, which contains passwords: its mode is %#o (chmod %o %s)", path, got, mode, path)
		}
	}
	return nil
}

// updateContexts changes the file. Of several commands that do so at once each sees the
// changes of those before.
func (a *app) updateContexts(change func(*contexts) error) (*contexts, error) {
	cs, err := a.readContexts()
	if err != nil {
		return nil, err
	}
	if cs.path == "" {
		return nil, errors.New("there is no home directory for contexts (set HOME)")
	}
	if err := os.MkdirAll(filepath.Dir(cs.path), 0o700); err != nil {
		return nil, err
	}
	unlock, err := lockDir(filepath.Dir(cs.path))
	if err != nil {
		return nil, err
	}
	defer unlock()
	if cs, err = a.readContexts(); err == nil { // as it is now that nobody else changes it
		err = change(cs)
	}
	if err != nil {
		return nil, err
	}
	return cs, cs.write()
}

// write replaces the file in one step.
func (cs *contexts) write() error {
	text, err := json.MarshalIndent(cs, "", "\t")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(cs.path), ".contexts-*") // its mode is 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), cs.path)
}

// dsn returns the DSN of a context.
func (cs *contexts) dsn(name string) (string, error) {
	if dsn, ok := cs.Contexts[name]; ok {
		return dsn, nil
	}
	return "", usagef("there is no context %q (mq context ls shows them)", name)
}

// redacted returns a DSN without its secrets and its parameters, and where they cannot
// be told apart only its scheme.
func redacted(dsn string) string {
	if strings.HasPrefix(dsn, "env:") {
		return dsn
	}
	scheme, rest, _ := strings.Cut(dsn, ":")
	u, err := url.Parse(dsn)
	if err != nil || u.Opaque != "" || strings.Contains(u.Path+u.RawQuery+u.Fragment, "@") || strings.Count(rest, "@") > 1 {
		return scheme + "://***"
	}
	if _, has := u.User.Password(); has {
		u.User = url.UserPassword(u.User.Username(), "xxx")
	}
	more := ""
	if u.RawQuery != "" || u.Fragment != "" {
		more = "?***"
	}
	u.RawQuery, u.Fragment = "", ""
	return strings.Replace(u.String(), ":xxx@", ":***@", 1) + more
}
