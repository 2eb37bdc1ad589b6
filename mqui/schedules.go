package mqui

import (
	"context"
	"net/http"
	"time"
)

// Schedules send messages at fixed times. A few lines adapt List and RunNow of package
// mqcron to this interface; mqui itself does not link mqcron.
type Schedules interface {
	// List returns all schedules, sorted by name.
	List(ctx context.Context) ([]Schedule, error)
	// Run sends the message of a schedule now, and returns its ID.
	Run(ctx context.Context, name string) (id string, err error)
}

// Schedule is a schedule as it is shown.
type Schedule struct {
	Name    string
	Spec    string // such as "0 6 * * MON-FRI"
	Zone    string // "" is UTC
	Queue   string // the queue that it sends to
	CatchUp string // what happens to missed occurrences
	Next    time.Time
}

// Overdue reports whether the next occurrence should have been sent by now.
func (s Schedule) Overdue() bool { return !s.Next.IsZero() && time.Since(s.Next) > time.Minute }

// schedulesData is the page of schedules.
type schedulesData struct {
	Source string
	All    []Schedule
}

func (u *UI) schedulesPage(ctx context.Context, _ viewer, r *http.Request) (*page, error) {
	s := u.byName[r.FormValue("source")]
	if s == nil || s.Schedules == nil {
		return nil, notFound("there is no such source, or it has no schedules")
	}
	all, err := s.Schedules.List(ctx)
	if err != nil {
		return nil, err
	}
	return &page{Template: "schedules", Title: "Schedules of " + s.Name, Data: &schedulesData{s.Name, all}}, nil
}
