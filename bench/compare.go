package main

import (
	"context"
	"fmt"
	"time"
)

var peers = []opener{
	{name: "mq on mem", open: openMem},
	{name: "toy: mutex and heap", open: openToy, bar: 0.4},
	{name: "Watermill gochannel, subscribed first", open: openGoChannel, bar: 1.5},
	{name: "Watermill gochannel, Persistent", open: openGoChannelPersistent, bar: 1.5},
	{name: "go-cloud mempubsub", open: openMemPubSub, bar: 3},
	{name: "mq on mem, Consumer", open: openMemConsumer},
}

// compare prints what each peer makes of the same work. The rounds are
// interleaved, so that a busy machine hits all of them.
func compare(ctx context.Context, senders, n, rounds int) error {
	costs := make([][]cost, len(peers))
	for range rounds {
		for i, p := range peers {
			c, err := measure(ctx, p, senders, n)
			if err != nil {
				return err
			}
			costs[i] = append(costs[i], c)
		}
	}

	fmt.Printf("### Senders: %d; then %d workers receive and ack one by one\n\n", senders, workers)
	rows := [][]string{{"peer", "send/s", "drain/s", "total/s", "mq / peer", "bar", "bytes/message", "allocs/message"}}
	ours := medianOf(costs[0], cost.total)
	for i, p := range peers {
		send := medianOf(costs[i], func(c cost) time.Duration { return c.send })
		drain := medianOf(costs[i], func(c cost) time.Duration { return c.drain })
		total := medianOf(costs[i], cost.total)
		ratio := total.Seconds() / ours.Seconds()
		rows = append(rows, []string{
			p.name, rate(n, send), rate(n, drain), rate(n, total),
			fmt.Sprintf("%.2f", ratio), atLeast(ratio, p.bar),
			perMessage(medianOf(costs[i], func(c cost) uint64 { return c.bytes }), n),
			perMessage(medianOf(costs[i], func(c cost) uint64 { return c.allocs }), n),
		})
	}
	table(rows)
	return nil
}

// rate formats n in d as thousands a second.
func rate(n int, d time.Duration) string {
	return fmt.Sprintf("%.0fk", float64(n)/d.Seconds()/1000)
}

func perMessage(x uint64, n int) string {
	return fmt.Sprintf("%.1f", float64(x)/float64(n))
}
