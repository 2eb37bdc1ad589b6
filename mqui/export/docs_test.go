package export

import (
	"encoding/json"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/portmq/mq/drivers/mem"
)

func observability(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/observability.md")
	must(t, err)
	return string(text)
}

// TestDocsMetrics holds the documentation against what is exported, both ways.
func TestDocsMetrics(t *testing.T) {
	_, section, _ := strings.Cut(observability(t), "\n## Exporter\n")
	section, _, _ = strings.Cut(section, "\n## Alerts\n")
	all, named := exported(t), make(map[string]bool)
	for _, name := range metricName.FindAllString(section, -1) {
		if named[name] = true; all[name] == "" {
			t.Errorf("there is no metric %s", name)
		}
	}
	for name := range all {
		if !named[name] {
			t.Errorf("the documentation does not have %s", name)
		}
	}
}

// The ScaledObject of the documentation works on the exporter: its URL is answered, and
// has a number where it looks for one.
func TestDocsScaledObject(t *testing.T) {
	text := observability(t)
	setting := func(name string) string {
		t.Helper()
		m := regexp.MustCompile(`\s` + name + `: "([^"]*)"`).FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("there is no %s", name)
		}
		return m[1]
	}
	u, err := url.Parse(setting("url"))
	must(t, err)
	e := exporter(t, Options{}, Source{Name: "shop", Client: filled(t, mem.New())}, Source{Name: "other", Client: filled(t, mem.New())})
	status, body := get(e, u.RequestURI())
	var found map[string]any
	must(t, json.Unmarshal([]byte(body), &found))
	if n, ok := found[setting("valueLocation")].(float64); status != 200 || !ok || n != 3 {
		t.Errorf("status %d, %v: want 3 messages to work on", status, found)
	}
	_, err = strconv.ParseFloat(setting("targetValue"), 64)
	must(t, err)
}
