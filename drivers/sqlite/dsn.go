package sqlite

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/portmq/mq/driver"
)

// Synchronous says when a commit counts as stored.
type Synchronous string

// The values of Synchronous.
const (
	// Full waits until the disk has it: a power cut loses nothing that was
	// acknowledged. The default.
	Full Synchronous = "full"
	// Normal does not wait. The end of the process loses nothing; a power cut or
	// a crash of the system may lose the last commits, and damages nothing.
	Normal Synchronous = "normal"
)

// defaultPoll is how often the file is looked at for the commits of other
// processes while nothing happens.
const defaultPoll = 40 * time.Millisecond

// options are what a DSN says.
type options struct {
	path        string
	synchronous Synchronous
	busyTimeout time.Duration // 0: as long as the call may take
	poll        time.Duration
}

const formOfDSN = "it names no file: after the two slashes comes a path, an absolute one with a slash of its own, and then the parameters behind a ?"

// parseDSN parses sqlite:///path or sqlite://path. What would be the host of
// another URL is the beginning of a relative path.
func parseDSN(dsn string) (o options, err error) {
	scheme, rest, ok := strings.Cut(dsn, "://")
	if !ok {
		return o, errors.New(formOfDSN)
	}
	relative := !strings.HasPrefix(rest, "/")
	if relative {
		rest = "/" + rest
	}
	u, err := driver.ParseDSN(scheme+"://"+rest, "synchronous", "busy_timeout", "poll")
	if err != nil {
		return o, err
	}
	o.path = u.Path
	if relative {
		o.path = u.Path[1:]
	}
	switch {
	case u.Fragment != "":
		return o, errors.New("percent-encode special characters of the path: # as %23, ? as %3F, % as %25")
	case strings.HasSuffix(o.path, "/") || o.path == "":
		return o, errors.New(formOfDSN)
	case strings.Contains(o.path, ":memory:"):
		return o, errors.New("for queues in memory open mem://")
	}
	o.path = filepath.Clean(filepath.FromSlash(o.path))
	return o, o.parameters(u.Query())
}

func (o *options) parameters(q url.Values) (err error) {
	switch o.synchronous = Synchronous(strings.ToLower(q.Get("synchronous"))); o.synchronous {
	case "":
		o.synchronous = Full
	case Full, Normal:
	default:
		return errors.New("parameter synchronous is neither full nor normal")
	}
	if o.busyTimeout, err = duration(q, "busy_timeout", 0, time.Hour); err != nil {
		return err
	}
	o.poll, err = duration(q, "poll", time.Millisecond, time.Minute)
	return err
}

// duration returns a parameter that is between least and most, or 0 if it is not
// given.
func duration(q url.Values, name string, least, most time.Duration) (time.Duration, error) {
	if !q.Has(name) {
		return 0, nil
	}
	d, err := time.ParseDuration(q.Get(name))
	if err != nil || d < least || d > most {
		return 0, fmt.Errorf("parameter %s is not a duration between %v and %v, such as 50ms", name, least, most)
	}
	return d, nil
}
