package main

import "testing"

func TestRows(t *testing.T) {
	one, ten := []float64{1, 1, 1}, []float64{10, 100, 1}
	for want, r := range map[string]row{
		"| x | 10/s | y 1/s | 10.00 | >= 0.8 | met |":   {"x", ten, "y", one, bar{least: 0.8}},
		"| x | 1/s | y 10/s | 0.10 | >= 0.8 | MISSED |": {"x", one, "y", ten, bar{least: 0.8}},
		"| x | 1/s | y 1/s | 1.00 | >= 1 | met |":       {"x", one, "y", one, bar{least: 1}},
		"| x | 1/s | y 1/s | 1.00 | > 1 | MISSED |":     {"x", one, "y", one, bar{least: 1, above: true}},
		"| x | 10/s | y 1/s | 10.00 | > 1 | met |":      {"x", ten, "y", one, bar{least: 1, above: true}},
		"| x | 1/s | y 10/s | 0.10 |  |  |":             {"x", one, "y", ten, bar{}},
	} {
		if got := r.String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestMessagesAreAlike(t *testing.T) {
	theirs, err := marshalled()
	if err != nil {
		t.Fatal(err)
	}
	ours := bare()
	if len(ours.Body) != bodySize || string(theirs.Body) != string(ours.Body) || theirs.DeliveryMode != ours.DeliveryMode {
		t.Errorf("%d bytes in mode %d, %d bytes in mode %d", len(ours.Body), ours.DeliveryMode, len(theirs.Body), theirs.DeliveryMode)
	}
}
