package mqui

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Finding is a remark on a backend.
type Finding struct {
	Level Level
	Where string // what it is about, such as a queue or a table
	Text  string
}

// Level is how much a Finding matters.
type Level int8

// The levels of findings.
const (
	LevelOK      Level = iota // not shown
	LevelAdvice               // could be better
	LevelProblem              // needs attention
)

const (
	findingsEvery   = time.Minute
	findingsTimeout = 30 * time.Second
)

// findings keep what Source.Findings has found last.
type findings struct {
	mu  sync.Mutex
	all []Finding
	err error
}

// run looks until ctx ends. A call that hangs keeps only the findings from being renewed.
func (f *findings) run(ctx context.Context, look func(context.Context) ([]Finding, error)) {
	for look != nil && ctx.Err() == nil {
		all, err := lookOnce(ctx, look)
		f.mu.Lock()
		if f.err = err; err == nil {
			f.all = all
		}
		f.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(findingsEvery):
		}
	}
}

func lookOnce(ctx context.Context, look func(context.Context) ([]Finding, error)) (all []Finding, err error) {
	ctx, cancel := context.WithTimeout(ctx, findingsTimeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the search for findings panicked: %v", p)
		}
	}()
	return look(ctx)
}

// last returns the findings to show, problems first.
func (f *findings) last() (all []Finding, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for level := LevelProblem; level > LevelOK; level-- {
		for _, found := range f.all {
			if found.Level == level {
				all = append(all, found)
			}
		}
	}
	return all, f.err
}
