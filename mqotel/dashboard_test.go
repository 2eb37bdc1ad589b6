package mqotel_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/portmq/mq"
	"github.com/portmq/mq/mqotel"
)

var (
	metricName = regexp.MustCompile(`\b(?:mq|messaging)_\w+`)
	quoted     = regexp.MustCompile(`"[^"]*"`)
	labelLists = regexp.MustCompile(`(?:\b(?:by|ignoring|group_left) ?\([^)]*\)|\{[^}]*\})`)
	labelName  = regexp.MustCompile(`[a-z_]+`)
)

// TestDashboard holds the dashboard against what is exported: every metric and
// label in it exists, and every metric is in it.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("../docs/grafana-dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Templating struct{ List []struct{ Definition string } }
		Panels     []struct {
			Title   string
			Targets []struct{ Expr, LegendFormat string }
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	names, labels := exported(t)
	var used []string
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			used = append(used, requireKnown(t, p.Title, target.Expr, names, labels)...)
			for _, l := range metricName.FindAllString(target.LegendFormat, -1) {
				requireLabel(t, p.Title, l, labels)
			}
		}
	}
	for _, v := range board.Templating.List {
		if v.Definition != "" {
			requireKnown(t, "variable", strings.Replace(v.Definition, "messaging_destination_name)", ")", 1), names, labels)
		}
	}
	for name, metric := range names {
		if !slices.ContainsFunc(used, func(u string) bool { return names[u] == metric }) {
			t.Errorf("the dashboard does not show %s", name)
		}
	}
}

// requireKnown returns the metrics in a query.
func requireKnown(t *testing.T, where, expr string, names map[string]string, labels []string) []string {
	t.Helper()
	bare := quoted.ReplaceAllString(expr, "")
	for _, list := range labelLists.FindAllString(bare, -1) {
		for _, l := range labelName.FindAllString(list, -1) {
			if !slices.Contains([]string{"by", "ignoring", "group_left", "le"}, l) {
				requireLabel(t, where, l, labels)
			}
		}
	}
	found := metricName.FindAllString(labelLists.ReplaceAllString(bare, ""), -1)
	if len(found) == 0 {
		t.Errorf("%s: no metric in %s", where, expr)
	}
	for _, name := range found {
		if names[name] == "" {
			t.Errorf("%s: there is no metric %s", where, name)
		}
	}
	return found
}

func requireLabel(t *testing.T, where, label string, labels []string) {
	t.Helper()
	if !slices.Contains(labels, label) {
		t.Errorf("%s: there is no label %s", where, label)
	}
}

// exported provokes every metric and returns the names that an exporter for
// Prometheus makes of theirs, and its labels.
func exported(t *testing.T) (names map[string]string, labels []string) {
	names = map[string]string{}
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, mqotel.Config{})
		_, err := l.telemetry.Observe(l.queue)
		l.check(err)
		l.send(t.Context(), "1")
		_, _ = l.client.Queue("missing").Send(t.Context(), new(mq.Message))
		l.consume(mq.ConsumerConfig{}, func(_ context.Context, _ *mq.Delivery, stop func()) error {
			stop()
			return mq.Reject(errors.New("no"))
		})
		l.send(t.Context(), "2")
		ds, err := l.queue.Receive(t.Context(), mq.ReceiveOptions{})
		l.check(err)
		_, err = l.queue.Purge(t.Context())
		l.check(err)
		_ = ds[0].Ack(t.Context())
		for name, m := range l.metrics() {
			for _, p := range prometheus(name, m) {
				names[p] = name
			}
			for set := range points(m) {
				for _, kv := range set.ToSlice() {
					labels = append(labels, strings.ReplaceAll(string(kv.Key), ".", "_"))
				}
			}
		}
	})
	return names, labels
}

// prometheus spells the name of a metric as the compatibility rules of
// OpenTelemetry want it: dots become underscores, a unit and the kind are
// added, and a unit in braces is left out.
func prometheus(name string, m metricdata.Metrics) []string {
	name = strings.ReplaceAll(name, ".", "_")
	if m.Unit == "s" {
		name += "_seconds"
	}
	switch m.Data.(type) {
	case metricdata.Sum[int64]:
		return []string{name + "_total"}
	case metricdata.Histogram[int64], metricdata.Histogram[float64]:
		return []string{name + "_bucket", name + "_sum", name + "_count"}
	}
	return []string{name}
}

// TestDocsMetrics requires the guide and the package's own documentation to
// name every metric.
func TestDocsMetrics(t *testing.T) {
	guide, err := os.ReadFile("../docs/observability.md")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	names, _ := exported(t)
	for prom, name := range names {
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			prom = strings.TrimSuffix(prom, suffix)
		}
		if row := "| `" + name + "` | `" + prom + "` |"; !strings.Contains(string(guide), row) {
			t.Errorf("docs/observability.md has no row %s", row)
		}
		if !strings.Contains(string(doc), "//   - "+name+",") {
			t.Errorf("the package comment does not describe %s", name)
		}
	}
}
