package mqui

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// The limits of event streams.
const (
	maxStreams       = 64
	maxViewerStreams = 8
	// streamLife is when a stream ends. The browser opens the next one, whose role is
	// asked for anew.
	streamLife = 10 * time.Minute
	// streamGap is the least time between two updates.
	streamGap = time.Second
	// heartbeat shows a proxy that the stream is alive, and the server that the client is.
	heartbeat = 15 * time.Second
	// writeTimeout ends a stream whose client does not read.
	writeTimeout = 10 * time.Second
)

// update is what has changed on a page: elements by their IDs. If there is a List, Order
// are its children.
type update struct {
	List  string            `json:"list,omitempty"`
	Order []string          `json:"order,omitempty"`
	HTML  map[string]string `json:"html"`

	end bool // nothing changes any more
}

// add renders an element.
func (u *update) add(id, template string, data any) error {
	if u.HTML == nil {
		u.HTML = make(map[string]string)
	}
	html, err := renderPart(template, data)
	u.HTML[id] = string(html)
	return err
}

// since takes out what the client has, and returns what it will have.
func (u *update) since(has map[string]string) (now map[string]string) {
	now = make(map[string]string, len(u.HTML))
	for id, html := range u.HTML {
		if now[id] = html; has[id] == html {
			delete(u.HTML, id)
		}
	}
	return now
}

// renewer returns the parts of a page as they are now.
type renewer func(ctx context.Context, r *http.Request) (update, error)

// events is the stream of one page, until the client goes or Close.
func (u *UI) events(w http.ResponseWriter, r *http.Request) {
	renew := map[string]renewer{"overview": u.overviewBlocks, "queue": u.queueBlocks, "job": u.jobBlocks}[r.FormValue("page")]
	if renew == nil {
		http.NotFound(w, r)
		return
	}
	key := viewerOf(r).key()
	if !u.streams.enter(key) {
		http.Error(w, "too many streams", http.StatusServiceUnavailable)
		return
	}
	defer u.streams.leave(key)
	done, ok := u.begin()
	if !ok {
		return
	}
	defer done()
	ctx, cancel := context.WithTimeout(r.Context(), streamLife)
	defer cancel()
	defer context.AfterFunc(u.ctx, cancel)()
	s := stream{w: w, control: http.NewResponseController(w)}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	s.run(ctx, r, renew, &u.changed)
}

// stream writes to one client.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	has     map[string]string // what the client has, by ID
}

func (s *stream) run(ctx context.Context, r *http.Request, renew renewer, changed *broadcast) {
	for ctx.Err() == nil {
		next := changed.wait() // before the look, so that none is missed
		up, err := s.renew(ctx, r, renew)
		if err != nil {
			return
		}
		if up.end {
			_ = s.write("event: end\ndata: {}\n\n") // it ends all the same
			return
		}
		if !s.sleep(ctx, next) {
			return
		}
	}
}

func (s *stream) renew(ctx context.Context, r *http.Request, renew renewer) (update, error) {
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	up, err := renew(ctx, r)
	if err != nil {
		return up, err
	}
	s.has = up.since(s.has)
	data, err := json.Marshal(up)
	if err != nil {
		return up, err
	}
	return up, s.write(fmt.Sprintf("data: %s\n\n", data))
}

// sleep waits for something new, and reports whether the client is still there.
func (s *stream) sleep(ctx context.Context, next <-chan struct{}) bool {
	gap := time.After(streamGap)
	for {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(heartbeat):
			if s.write(": alive\n\n") != nil {
				return false
			}
		case <-next:
			select {
			case <-ctx.Done():
				return false
			case <-gap:
				return true
			}
		}
	}
}

func (s *stream) write(text string) error {
	_ = s.control.SetWriteDeadline(time.Now().Add(writeTimeout)) // where the server can
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.control.Flush()
}
