package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// progress shows the figures while the job works: in one line that is updated
// in place on a terminal, and line by line elsewhere.
type progress struct {
	out      io.Writer
	tally    *tally
	terminal bool
	start    time.Time
	quit     chan struct{}
	ended    chan struct{}
}

func showProgress(out io.Writer, t *tally) *progress {
	p := &progress{out: out, tally: t, terminal: isTerminal(out), start: time.Now()}
	p.begin()
	return p
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (p *progress) begin() {
	p.quit, p.ended = make(chan struct{}), make(chan struct{})
	every := 500 * time.Millisecond
	if p.terminal {
		every = 100 * time.Millisecond
	}
	go p.loop(time.NewTicker(every))
}

func (p *progress) loop(tick *time.Ticker) {
	defer close(p.ended)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.show()
		case <-p.quit:
			return
		}
	}
}

func (p *progress) show() {
	c := p.tally.snapshot()
	status := fmt.Sprintf("%5.1fs  sent %s  processed %s  retried %s  dead letters %s", time.Since(p.start).Seconds(),
		thousands(c.Sent), thousands(c.Processed), thousands(c.Retried), thousands(c.Dead))
	if p.terminal {
		fmt.Fprintf(p.out, "\r%-78s", status)
	} else {
		fmt.Fprintln(p.out, status)
	}
}

// stop ends the display and leaves nothing on a terminal's line.
func (p *progress) stop() {
	close(p.quit)
	<-p.ended
	if p.terminal {
		fmt.Fprintf(p.out, "\r%78s\r", "")
	}
}
