package mqui

import (
	"context"
	"crypto/sha256"
	"net"
	"net/http"
	"sync"
	"time"
)

// The limits of wrong credentials.
const (
	firstDelay   = 200 * time.Millisecond
	longestDelay = 5 * time.Second
	forgetAfter  = 5 * time.Minute
	maxAttempts  = 4096 // addresses and names that are remembered
	maxWaiting   = 64
	maxWaitEach  = 4
)

type verdict int8

const (
	credentialWrong verdict = iota
	credentialRight
	credentialBusy // not looked at
)

// slowdown spaces out attempts after failures, separately for each address and name:
// guessing does not lock out others.
type slowdown struct {
	mu      sync.Mutex
	keys    map[attempt]*failures
	waiting int
}

// attempt is the address and the name of an attempt, hashed. It has a fixed size, whatever the
// length of the name.
type attempt [sha256.Size]byte

type failures struct {
	count   int
	until   time.Time // when the next attempt is looked at
	waiting int
}

func attemptKey(r *http.Request, claims string) attempt {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	return sha256.Sum256([]byte(host + "\x00" + claims))
}

// try waits until an attempt is due, and makes it. Of two attempts at the same time the
// second one waits for what the first one costs.
func (s *slowdown) try(ctx context.Context, key attempt, match func() (string, bool)) (user string, v verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		f := s.keys[key]
		if f == nil || !time.Now().Before(f.until) {
			break
		}
		if f.waiting >= maxWaitEach || s.waiting >= maxWaiting {
			return "", credentialBusy
		}
		if !s.wait(ctx, f) {
			return "", credentialBusy
		}
	}
	user, ok := match()
	if ok {
		delete(s.keys, key)
		return user, credentialRight
	}
	s.fail(key)
	return "", credentialWrong
}

// wait lets go of the lock until f is due, and reports whether ctx has not ended.
func (s *slowdown) wait(ctx context.Context, f *failures) bool {
	f.waiting++
	s.waiting++
	d := time.Until(f.until)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		f.waiting--
		s.waiting--
	}()
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func (s *slowdown) fail(key attempt) {
	if s.keys == nil {
		s.keys = make(map[attempt]*failures)
	}
	f := s.keys[key]
	if f == nil {
		s.makeRoom()
		f = &failures{}
		s.keys[key] = f
	}
	f.until = time.Now().Add(min(firstDelay<<min(f.count, 10), longestDelay))
	f.count++
}

// makeRoom forgets one attempt if there are many: it looks at a few at random, and forgets
// one that is long ago, or else the last of them.
func (s *slowdown) makeRoom() {
	if len(s.keys) < maxAttempts {
		return
	}
	n := 0
	for key, f := range s.keys {
		if n++; n == 16 || time.Since(f.until) > forgetAfter {
			delete(s.keys, key)
			return
		}
	}
}
