// Package work is the processes of a chaos run: producers and consumers that use package
// mq as any program does, and write down what they are told.
package work

import "time"

// Config is what a process does. It travels as JSON.
type Config struct {
	Ledger   string        // directory
	Provider string        // mem, sqlite, pgx, pq, frompool or rabbitmq
	DSN      string        // of mq.Open; of frompool that of the pool
	Lease    time.Duration // the visibility timeout of all receives
	Rate     float64       // sends per second of each producer
	Seed     uint64
	Break    string // how the provider is broken, see Breaks
	Workers  []Worker
}

// Worker is one client in a process.
type Worker struct {
	Name string // of its ledger, new with every start
	Role Role
}

// Role is what a worker does.
type Role string

// The roles.
const (
	Producer Role = "producer"
	Consumer Role = "consumer"
	// Keeper counts and drops queues, and records what is there at the end.
	Keeper Role = "keeper"
)

// The queues. Messages in other queues are not part of the run.
const (
	Plain    = "plain"    // sends of all kinds, keys included; three ways to receive
	Grouped  = "grouped"  // messages of groups
	Steps    = "steps"    // consumed, and a message sent to Done, in one transaction
	Done     = "done"     // what Steps came to
	Fired    = "fired"    // what the schedule sends
	Volatile = "volatile" // is dropped and made again
)

// queues are the queues of a provider.
func queues(f features) []string {
	all := []string{Plain, Volatile}
	if f.groups {
		all = append(all, Grouped)
	}
	if f.tx {
		all = append(all, Steps, Done)
	}
	if f.schedules {
		all = append(all, Fired)
	}
	return all
}

// ScheduleEvery is the time between two occurrences of the schedule, in seconds.
const ScheduleEvery = 2

// features are what a provider has for the run.
type features struct {
	groups, dedup, schedules, tx, delay, browse bool
}
