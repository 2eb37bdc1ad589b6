package driver

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"
)

// Browser shows messages without leasing them.
type Browser interface {
	// Browse returns records in the order of their ids, whatever their state: oldest
	// first, or newest first with r.Newest. It changes nothing.
	Browse(ctx context.Context, queue string, r BrowseRequest) ([]Record, error)
}

// BrowseRequest asks for one page.
type BrowseRequest struct {
	Archive bool   // the queue's archive, not the queue
	Newest  bool   // newest first
	After   string // ID of the last record of the page before, which may be gone; "" = from the start. ErrInvalid if it cannot be an ID
	Limit   int    // between 1 and Caps.MaxBatch
	// IDs, if there are any, are the only messages to show, Limit at most. Texts that are
	// no message's ID, or cannot be one, are left out.
	IDs []string
	// CutBody is how many bytes of each body to return; 0 means all. Record.BodySize is
	// the size of the whole body.
	CutBody int
}

// Searcher finds messages by their content. If a provider does not implement it, mq
// browses, and checks each record with [Match.Fits].
type Searcher interface {
	// Search looks at up to r.Scan messages in the order of Browse, and returns up to
	// r.Limit of those that r.Match fits. If it finds r.Limit it stops at the last of them.
	Search(ctx context.Context, queue string, r SearchRequest) (Found, error)
}

// SearchRequest asks for records that fit. Its IDs are empty.
type SearchRequest struct {
	BrowseRequest
	Match Match
	Scan  int // positive
}

// Found is what a search has found.
type Found struct {
	Records []Record
	Looked  int    // how many messages it has looked at
	Last    string // ID of the last message that it has looked at, "" if there was none
	End     bool   // there are no more messages after Last
}

// Match selects records. A record must fit all fields that are set. The zero Match fits
// every record.
type Match struct {
	// State is the state of the message.
	State State
	// Header is the name of a header that has the value Value.
	Header, Value string
	// Group equals Message.Group.
	Group string
	// Text is somewhere in the body, byte for byte.
	Text string
	// Reason is somewhere in the header mq-reason or mq-error.
	Reason string
	// SentSince and SentBefore bound EnqueuedAt: at SentSince or later, and before
	// SentBefore.
	SentSince, SentBefore time.Time
}

// Fits reports whether the match fits a record with a whole body.
func (m *Match) Fits(r *Record) bool {
	switch {
	case m.State != AnyState && m.State != r.State,
		m.Header != "" && !has(r.Headers, m.Header, m.Value),
		m.Group != "" && m.Group != r.Group,
		m.Text != "" && !bytes.Contains(r.Body, []byte(m.Text)),
		m.Reason != "" && !strings.Contains(r.Reason(), m.Reason) && !strings.Contains(r.LastError(), m.Reason),
		!m.SentSince.IsZero() && r.EnqueuedAt.Before(m.SentSince),
		!m.SentBefore.IsZero() && !r.EnqueuedAt.Before(m.SentBefore):
		return false
	}
	return true
}

func has(h Headers, name, value string) bool {
	v, ok := h[name]
	return ok && v == value
}

// State is where a message is.
type State int8

// The states of a message. AnyState is none of them: in a [Match] it fits every state.
const (
	AnyState      State = iota
	StateVisible        // due: it could be received
	StateLeased         // received, and neither settled nor timed out
	StateDelayed        // sent or nacked with a delay that has not ended
	StateArchived       // in the archive
)

// String returns "any", "visible", "leased", "delayed" or "archived".
func (s State) String() string {
	switch s {
	case AnyState:
		return "any"
	case StateVisible:
		return "visible"
	case StateLeased:
		return "leased"
	case StateDelayed:
		return "delayed"
	case StateArchived:
		return "archived"
	}
	return fmt.Sprintf("State(%d)", int8(s))
}

// ReasonCounter counts archived messages by their reasons.
type ReasonCounter interface {
	// CountReasons counts the newest scan messages of the archive by their header
	// mq-reason. It returns the reasons, the most frequent first and then by name, and
	// how many messages it has looked at.
	CountReasons(ctx context.Context, queue string, scan int) (counts []ReasonCount, looked int64, err error)
}

// ReasonCount is how many archived messages have a reason; Reason is "" for those without.
type ReasonCount struct {
	Reason      string
	Count       int64
	First, Last time.Time // when the first and the last of them were archived
}
