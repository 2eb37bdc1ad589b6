package sqlite

import (
	"context"
	"time"
)

// politeness lets other writers of the file have the lock under load, where one commit
// follows the other. It cannot be
// waited for in line: who has just given it away would always be the first to ask for
// it again.
type politeness struct {
	version int64     // of the data, as last seen
	checked time.Time // when that was
	until   time.Time // there are others, at least until then
	paused  time.Time
}

const (
	checkEvery = 25 * time.Millisecond
	pauseEvery = 10 * time.Millisecond
	pauseFor   = 2 * maxRetry
	othersStay = 2 * time.Second
)

// met notes that another writer was seen.
func (p *politeness) met() { p.until = time.Now().Add(othersStay) }

// began looks, at the beginning of a transaction, whether others have written.
func (p *politeness) began(s *session) {
	now := time.Now()
	if now.Sub(p.checked) < checkEvery {
		return
	}
	p.checked = now
	var v int64
	var found bool
	err := query(context.Background(), s, into(&found, &v), "PRAGMA data_version")
	if err == nil && v != p.version {
		if p.version != 0 {
			p.met()
		}
		p.version = v
	}
}

// pause sleeps a little if there are others and it has not done so for a while.
func (p *politeness) pause() {
	now := time.Now()
	if now.After(p.until) || now.Sub(p.paused) < pauseEvery {
		return
	}
	time.Sleep(pauseFor)
	p.paused = time.Now()
}
