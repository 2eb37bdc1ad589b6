package mqui

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/portmq/mq"
)

// maxBindings is how many bindings a page shows.
const maxBindings = 1000

// topicsData is the page of bindings.
type topicsData struct {
	Source   string
	Bindings []mq.Binding
	More     int // that are left out
	Unlisted bool
	Queues   []string
}

func (u *UI) topicsPage(ctx context.Context, _ viewer, r *http.Request) (*page, error) {
	s := u.byName[r.FormValue("source")]
	if s == nil || !s.can.to(canTopics) {
		return nil, notFound("there is no such source, or it has no topics")
	}
	d := &topicsData{Source: s.Name, Queues: s.sampler.names("")}
	all, err := s.Client.Bindings(ctx)
	switch {
	case errors.Is(s.can.learn(canBindings, err), mq.ErrNotSupported):
		d.Unlisted = true
	case err != nil:
		return nil, err
	}
	slices.SortFunc(all, func(a, b mq.Binding) int { return compareTexts(a.Pattern, b.Pattern, a.Queue, b.Queue) })
	d.More = max(0, len(all)-maxBindings)
	d.Bindings = all[:min(len(all), maxBindings)]
	return &page{Template: "topics", Title: "Topics of " + s.Name, Data: d}, nil
}

// compareTexts compares pairs, the first ones first.
func compareTexts(a1, b1, a2, b2 string) int {
	switch {
	case a1 < b1 || a1 == b1 && a2 < b2:
		return -1
	case a1 == b1 && a2 == b2:
		return 0
	}
	return 1
}
