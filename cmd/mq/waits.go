package main

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// blocker is a session that keeps another one waiting.
type blocker struct {
	pid         int
	what, state string
	seconds     float64 // since its transaction began
}

func (b blocker) String() string {
	age := time.Duration(b.seconds * float64(time.Second)).Round(time.Second)
	return fmt.Sprintf("session %d of %s (%s, in a transaction of %v)", b.pid, b.what, b.state, age)
}

func blockerColumns(b *blocker) []any { return []any{&b.pid, &b.what, &b.state, &b.seconds} }

// tellWaits says what the statements on a database wait for, each session once,
// until stop is called.
func (a *app) tellWaits(ctx context.Context, db *sql.DB, what string) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		told := make(map[int]bool)
		for waitFor(ctx, 500*time.Millisecond) {
			bs, _ := rowsOf(ctx, db, "waits", blockerColumns)
			for _, b := range bs { // what cannot be seen is not told
				if !told[b.pid] {
					told[b.pid] = true
					a.note("%s waits for %v", what, b)
				}
			}
		}
	}()
	return func() { cancel(); <-done }
}
