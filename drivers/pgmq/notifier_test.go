package pgmq

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestNotifierGathers: however many queues are due, two statements tell of them, also
// when the first one fails or hangs.
func TestNotifierGathers(t *testing.T) {
	for name, first := range map[string]error{"works": nil, "fails": errors.New("no"), "hangs": context.DeadlineExceeded} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told []string
				f := &fake{answer: func(ctx context.Context, text string, args values) ([]values, error) {
					if text != sqlNotify {
						return nil, nil
					}
					told = append(told, args[0].(string))
					if len(told) > 1 {
						return nil, nil
					}
					if time.Sleep(time.Millisecond); name == "hangs" {
						<-ctx.Done()
					}
					return nil, first
				}}
				p := f.open(t)
				for i := range 100 {
					h := p.hub(fmt.Sprint("q", i))
					h.takeNotify() // so that the next one is not sent at once
					for range 3 {
						h.inserted(p, false)
					}
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				all := strings.Join(told, "")
				for i := range 100 {
					if n := strings.Count(all, fmt.Sprintf(".q_q%d.", i)); n != 1 {
						t.Errorf("q%d is told of %d times", i, n)
					}
				}
				if len(told) > 2 {
					t.Errorf("%d statements", len(told))
				}
				n := len(told)
				p.hub("q1").inserted(p, false)
				if err := p.Close(); err != nil || len(told) != n+1 {
					t.Errorf("%d statements with Close: %v", len(told)-n, err)
				}
			})
		})
	}
}
