package judge

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/portmq/mq/internal/chaos/ledger"
)

// class is a kind of subjects: which one an event is about, "" if none, and the rules.
type class struct {
	name    string
	subject func(r *ledger.Record) string
	rules   []rule
}

// ScheduleGroup begins the group of the messages of a schedule, whose Seq is the time of
// the occurrence.
const ScheduleGroup = "schedule:"

var classes = []class{
	{"message", ofMessage, messageRules},
	{"group", ofGroup, groupRules},
	{"id", ofID, idRules},
	{"schedule", ofSchedule, cronRules},
}

func ofMessage(r *ledger.Record) string {
	if r.Key == "" || r.Queue == "" {
		return ""
	}
	return r.Queue + "/" + r.Key
}

func ofGroup(r *ledger.Record) string {
	if r.Group == "" || strings.HasPrefix(r.Group, ScheduleGroup) {
		return ""
	}
	return r.Queue + "/" + r.Group
}

func ofID(r *ledger.Record) string {
	if r.ID == "" || r.Kind != ledger.Sent && r.Kind != ledger.Received {
		return ""
	}
	return r.Queue + "/#" + r.ID
}

func ofSchedule(r *ledger.Record) string {
	if !strings.HasPrefix(r.Group, ScheduleGroup) {
		return ""
	}
	return r.Queue + "/" + r.Group
}

// parts are the events of a run in so many files that the subjects of one fit into
// memory, each with all its events.
type parts struct {
	dir   string
	files [][]*part // by class
	buf   []byte
}

type part struct {
	*os.File
	*bufio.Writer
}

// newParts makes n files for each class.
func newParts(dir string, n int) (*parts, error) {
	p := &parts{dir: dir}
	for _, c := range classes {
		var files []*part
		for i := range n {
			f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%s-%d.part", c.name, i)))
			if err != nil {
				return p, errors.Join(err, p.close())
			}
			files = append(files, &part{f, bufio.NewWriter(f)})
		}
		p.files = append(p.files, files)
	}
	return p, nil
}

func (p *parts) add(r *ledger.Record) error {
	for i, c := range classes {
		subject := c.subject(r)
		if subject == "" {
			continue
		}
		h := fnv.New32a()
		_, _ = h.Write([]byte(subject)) // never fails
		p.buf = ledger.Append(p.buf[:0], r)
		if _, err := p.files[i][int(h.Sum32()%uint32(len(p.files[i])))].Write(p.buf); err != nil {
			return err
		}
	}
	return nil
}

func (p *part) Write(b []byte) (int, error) { return p.Writer.Write(b) }

func (p *parts) close() (err error) {
	for _, files := range p.files {
		for _, f := range files {
			err = cmp.Or(err, f.Flush(), f.Close())
		}
	}
	return err
}

// judge judges all subjects, one part after the other.
func (p *parts) judge(f *Facts, found func(Breach)) error {
	for i, c := range classes {
		for _, part := range p.files[i] {
			if err := judgePart(part.Name(), c, f, found); err != nil {
				return err
			}
		}
	}
	return nil
}

func judgePart(path string, c class, f *Facts, found func(Breach)) error {
	all := make(map[string][]ledger.Record)
	err := ledger.Read(path, func(r *ledger.Record) error {
		s := c.subject(r)
		all[s] = append(all[s], *r)
		return nil
	})
	if err != nil {
		return err
	}
	for subject, records := range all {
		slices.SortStableFunc(records, func(a, b ledger.Record) int { return cmp.Compare(a.At, b.At) })
		for _, b := range judge(c.rules, History{subject, records}, f) {
			found(b)
		}
	}
	return os.Remove(path)
}
