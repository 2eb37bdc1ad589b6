package mqui

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/portmq/mq"
)

const (
	// maxForm is how many bytes a request may have, a message to send included.
	maxForm = 2 << 20
	// actTimeout bounds an action, and longTimeout one that goes through a whole queue.
	actTimeout  = 30 * time.Second
	longTimeout = 5 * time.Minute
)

// act is an action of an operator.
type act struct {
	name  string
	done  string // the end of its result: "3 messages archived"
	needs ability
	long  bool // it goes on if the client leaves
	named bool // the queue's name must be typed
	ids   bool // the form names the messages
	run   func(ctx context.Context, a *acting) error
}

// noAbility is for actions that every provider can do.
const noAbility = abilityCount

// acts are all actions. Each is a path below act/, and the form that posts to it is drawn
// only if the provider supports it.
var acts = []act{
	{name: "archive", done: "archived", needs: canOverride, ids: true, run: archiveMessages},
	{name: "remove", done: "removed", needs: canOverride, ids: true, run: removeMessages},
	{name: "move", done: "moved", needs: canMove, ids: true, run: moveMessages},
	{name: "release", done: "given back", needs: canOverride, ids: true, run: releaseMessages},
	{name: "redrive", done: "brought back to the queue", needs: canRedrive, ids: true, run: redriveMessages},
	{name: "remove-archived", done: "removed from the archive", needs: canOverride, ids: true, run: removeArchived},
	{name: "redrive-all", needs: canRedrive, run: startRedrive},
	{name: "cancel", needs: noAbility, run: cancelRedrive},
	{name: "send", needs: noAbility, run: sendMessage},
	{name: "purge", done: "purged", needs: canManage, long: true, named: true, run: purgeQueue},
	{name: "purge-archive", done: "purged from the archive", needs: canRedrive, long: true, named: true, run: purgeArchive},
	{name: "drop", needs: canManage, long: true, named: true, run: dropQueue},
	{name: "pause", needs: canPause, run: pauseQueue},
	{name: "resume", needs: canPause, run: resumeQueue},
	{name: "bind", needs: canTopics, run: bindQueue},
	{name: "unbind", needs: canTopics, run: unbindQueue},
	{name: "run-schedule", needs: noAbility, run: runSchedule},
}

// acting is one action under way.
type acting struct {
	act    act
	ui     *UI
	viewer viewer
	source *source
	queue  *mq.Queue // nil for actions that need none
	r      *http.Request
	ids    []string

	count int64  // how many messages it hit
	said  string // the result, if it is not about a number of messages
	note  string // for the audit line: a reason, a target
	to    string // where the page goes then, "" for the queue
}

// act returns the handler of one action. It checks the role itself: that the form was not
// drawn is no protection.
func (u *UI) act(a act) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := viewerOf(r)
		if v.role < RoleOperate {
			u.log.Warn("mqui: action refused", "action", a.name, "user", v.user, "remote", v.remote)
			http.Error(w, "this action needs the right to operate", http.StatusForbidden)
			return
		}
		if err := r.ParseForm(); err != nil {
			http.Error(w, "the form is malformed or too large", http.StatusBadRequest)
			return
		}
		run := &acting{act: a, ui: u, viewer: v, r: r}
		err := run.prepare()
		if err == nil {
			err = run.do()
		}
		run.audit(err)
		if run.source != nil {
			run.source.sampler.renew(r.Context()) // so that the next page shows what was done
		}
		redirect(w, run.after(err))
	})
}

// prepare checks what the form says.
func (a *acting) prepare() error {
	if a.source = a.ui.byName[a.value("source")]; a.source == nil {
		return notFound("there is no such source")
	}
	if name := a.value("queue"); name != "" {
		a.queue = a.source.Client.Queue(name)
	}
	a.ids = a.r.PostForm["id"]
	switch {
	case a.queue == nil && a.act.name != "run-schedule" && a.act.name != "cancel":
		return badRequest("no queue is named")
	case a.act.needs != noAbility && !a.source.can.to(a.act.needs):
		return errCannot
	case a.act.ids && len(a.ids) == 0:
		return badRequest("no message was selected")
	case len(a.ids) > maxLimit:
		return badRequest("too many messages at once")
	case a.act.named && a.value("confirm") != a.value("queue"):
		return badRequest("the typed name is not the name of the queue: nothing was done")
	}
	return nil
}

var errCannot = &statusError{http.StatusNotImplemented, "this provider cannot do that"}

// do runs the action. One that takes long, and would be left half done, goes on when the
// client leaves.
func (a *acting) do() error {
	ctx, timeout := a.r.Context(), actTimeout
	if a.act.long {
		ctx, timeout = context.WithoutCancel(ctx), longTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	defer context.AfterFunc(a.ui.ctx, cancel)()
	err := a.act.run(ctx, a)
	if a.act.needs != noAbility && errors.Is(err, mq.ErrNotSupported) {
		_ = a.source.can.learn(a.act.needs, err)
		return errCannot
	}
	return err
}

// after keeps the result for the next page, and returns its address.
func (a *acting) after(err error) string {
	text := flash{Text: a.said}
	if text.Text == "" && a.act.done != "" {
		text.Text = plural(a.count, "message") + " " + a.act.done
	}
	if err != nil {
		text = flash{Text: a.failure(err), Failed: true}
	}
	name := a.ui.flashes.put(text)
	to := a.to
	if to == "" || err != nil {
		to = a.back()
	}
	sep := "?"
	if strings.Contains(to, "?") {
		sep = "&"
	}
	return "../" + to + sep + "flash=" + name
}

func (a *acting) failure(err error) string {
	text := a.act.name + " failed: " + describe(err)
	if a.count > 0 {
		text += fmt.Sprintf(" (%s before that)", plural(a.count, "message"))
	}
	return text
}

// back is the page that the form was on, as far as that can be told.
func (a *acting) back() string {
	if a.source == nil {
		return "./"
	}
	switch a.value("back") {
	case "topics", "schedules":
		return address(a.value("back"), "source", a.source.Name)
	}
	if a.queue == nil {
		return "./"
	}
	return address("queue", "source", a.source.Name, "queue", a.queue.Name(), "tab", a.value("tab"))
}

func (a *acting) value(name string) string { return a.r.PostForm.Get(name) }
