package mq

import (
	"fmt"
	"strings"

	"github.com/portmq/mq/driver"
)

// Requirements are what a program needs of a provider. See Config.Require.
type Requirements struct {
	// Durable: messages survive a restart of the backend.
	Durable bool
	// Shared: other processes see the same queues.
	Shared bool
	// Delay: Message.Delay, and retries after a pause.
	Delay bool
	// Headers: Message.Headers.
	Headers bool
	// Groups: Message.Group, ConsumerConfig.Groups and ReceiveHeads.
	Groups bool
	// GroupLimit: GroupBy.Limit above 1.
	GroupLimit bool
	// HeadStart: Message.HeadStart.
	HeadStart bool
	// Tx: Queue.Tx, SendTx and AckTx.
	Tx bool
	// Attempts: deliveries that are no attempts do not count: see
	// ConsumerConfig.MaxAttempts and Snooze.
	Attempts bool
	// Archive: Archived, Redrive and PurgeArchive.
	Archive bool
	// Browse: Peek.
	Browse bool
	// Move: Delivery.Move in one step.
	Move bool
	// Pop: Queue.Pop.
	Pop bool
	// Dedup: Message.DedupKey.
	Dedup bool
	// Topics: Client.Publish and Queue.Bind.
	Topics bool
	// Manage: Queues, DropQueue and Purge.
	Manage bool
	// PortableReceipts: Queue.Settle and Queue.Extend work in other processes.
	PortableReceipts bool
	// ExactBodies: bodies come back byte for byte, JSON too.
	ExactBodies bool
}

// check returns an error that names everything that p lacks.
func (r Requirements) check(p Provider) error {
	caps := p.Caps()
	var lacks []string
	for _, need := range []struct {
		wanted, there bool
		name          string
	}{
		{r.Durable, caps.Durable, "Durable"},
		{r.Shared, caps.Shared, "Shared"},
		{r.Delay, caps.Delay, "Delay"},
		{r.Headers, caps.Headers, "Headers"},
		{r.Groups, caps.Groups && has[driver.GroupReceiver](p), "Groups"},
		{r.GroupLimit, caps.GroupLimit && has[driver.GroupReceiver](p), "GroupLimit"},
		{r.HeadStart, caps.HeadStart, "HeadStart"},
		{r.Tx, has[driver.Transactor](p), "Tx"},
		{r.Attempts, caps.Attempts, "Attempts"},
		{r.Archive, has[driver.Archivist](p) && has[driver.Browser](p), "Archive"},
		{r.Browse, has[driver.Browser](p), "Browse"},
		{r.Move, caps.AtomicMove, "Move"},
		{r.Pop, has[driver.Popper](p), "Pop"},
		{r.Dedup, has[driver.Deduplicator](p), "Dedup"},
		{r.Topics, has[driver.Router](p), "Topics"},
		{r.Manage, has[driver.QueueManager](p), "Manage"},
		{r.PortableReceipts, caps.PortableReceipts, "PortableReceipts"},
		{r.ExactBodies, caps.ExactBodies, "ExactBodies"},
	} {
		if need.wanted && !need.there {
			lacks = append(lacks, need.name)
		}
	}
	if len(lacks) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s lacks %s of Config.Require (choose a provider that has it, or do without: Client.Caps says what this one can do)",
		ErrNotSupported, p.Name(), strings.Join(lacks, ", "))
}

func has[T any](p Provider) bool {
	_, ok := p.(T)
	return ok
}
