package mqui

import (
	"log/slog"
	"strings"
)

// auditIDs is how many IDs an audit line names.
const auditIDs = 20

// audit writes who did what, where and to how many messages. It contains no body.
func (a *acting) audit(err error) {
	attrs := []any{
		slog.String("action", a.act.name),
		slog.String("user", a.viewer.user),
		slog.String("remote", a.viewer.remote),
		slog.String("source", a.value("source")),
		slog.String("queue", a.value("queue")),
		slog.Int64("count", a.count),
	}
	if n := len(a.ids); n > 0 {
		attrs = append(attrs, slog.String("ids", strings.Join(a.ids[:min(n, auditIDs)], " ")), slog.Int("idCount", n))
	}
	if a.note != "" {
		attrs = append(attrs, slog.String("note", a.note))
	}
	if err != nil {
		a.ui.log.Warn("mqui: action failed", append(attrs, slog.String("error", errorText(err)))...)
		return
	}
	a.ui.log.Info("mqui: action", attrs...)
}
