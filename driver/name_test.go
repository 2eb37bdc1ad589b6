package driver_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/portmq/mq/driver"
)

func TestFoldName(t *testing.T) {
	for name, want := range map[string]string{
		"orders": "orders", "Orders": "orders", "ÄRGER": "Ärger", `a "b"; --`: `a "b"; --`, strings.Repeat("Q", 255): strings.Repeat("q", 255),
	} {
		if got, err := driver.FoldName(name, 255); got != want || err != nil {
			t.Errorf("FoldName(%.20q) = %.20q, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "a\x00b", "a\nb", "\xff", strings.Repeat("q", 256)} {
		if got, err := driver.FoldName(name, 255); got != "" || !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("FoldName(%.20q) = %.20q, %v, want ErrInvalid", name, got, err)
		}
	}
}
