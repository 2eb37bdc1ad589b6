package drivertest

import (
	"strings"
	"testing"

	"github.com/portmq/mq/driver"
)

func TestPathTexts(t *testing.T) {
	for _, e := range pathTexts {
		for _, row := range e.rows {
			got, ok := driver.JSONText([]byte(row.body), strings.Fields(e.path))
			if ok != (row.text != nil) || ok && got != *row.text {
				t.Errorf("%s at %s: %q, %v", row.body, e.path, got, ok)
			}
		}
	}
}
