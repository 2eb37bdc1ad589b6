package export

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/mem"
)

var (
	metricName = regexp.MustCompile(`\bmq_\w+`)
	matchers   = regexp.MustCompile(`\{[^}]*\}`)
	labelName  = regexp.MustCompile(`\b(\w+)=~?"`)
	legend     = regexp.MustCompile(`\{\{(\w+)\}\}`)
)

// exported returns the labels of all metrics, by name.
func exported(t *testing.T) map[string]string {
	t.Helper()
	p := mem.New()
	c := filled(t, p)
	must(t, p.Report(t.Context(), driver.ConsumerReport{ID: "1", Queue: "orders"}, time.Hour))
	_, text := get(exporter(t, Options{}, Source{Name: "shop", Client: c}), "/metrics")
	all := make(map[string]string)
	for line := range strings.SplitSeq(text, "\n") {
		if name, rest, ok := strings.Cut(line, "{"); ok && !strings.HasPrefix(line, "#") {
			all[name], _, _ = strings.Cut(rest, "}")
		}
	}
	return all
}

// TestDashboard holds the dashboard against what is exported: every metric and label in
// it exists, and every metric is in it.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("../../docs/grafana-queues.json")
	must(t, err)
	var board struct {
		Templating struct{ List []struct{ Definition string } }
		Panels     []struct {
			Title   string
			Targets []struct{ Expr, LegendFormat string }
		}
	}
	must(t, json.Unmarshal(text, &board))
	all := exported(t)
	used := make(map[string]bool)
	check := func(title, expr, legendFormat string) {
		t.Helper()
		name := metricName.FindString(expr)
		labels, ok := all[name]
		if !ok {
			t.Errorf("%s: there is no metric in %s", title, expr)
		}
		used[name] = true
		wanted := labelName.FindAllStringSubmatch(strings.Join(matchers.FindAllString(expr, -1), ""), -1)
		for _, label := range slices.Concat(wanted, legend.FindAllStringSubmatch(legendFormat, -1)) {
			if !strings.Contains(","+labels, ","+label[1]+"=") {
				t.Errorf("%s: %s has no label %s, only %s", title, name, label[1], labels)
			}
		}
	}
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			check(p.Title, target.Expr, target.LegendFormat)
		}
	}
	for _, v := range board.Templating.List {
		if v.Definition != "" {
			check("variable", v.Definition, "")
		}
	}
	for name := range all {
		if !used[name] {
			t.Errorf("the dashboard does not show %s", name)
		}
	}
}
