package mqui

import (
	"errors"
	"sync"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
)

// ability is something that a provider can do or not.
type ability int8

const (
	canList ability = iota
	canBrowse
	canManage // purge, drop
	canRedrive
	canReasons
	canOverride
	canMove
	canPause
	canConsumers
	canTopics
	canBindings // list them
	canGroups
	canDelay
	canHeaders
	abilityCount
)

// abilities are what a provider can do: by its methods and Caps at first, and less as soon
// as a call turns out to be not supported, as behind a wrapper that has all methods.
type abilities struct {
	mu  sync.Mutex
	has [abilityCount]bool
}

func probe(c *mq.Client) *abilities {
	p, caps := c.Provider(), c.Caps()
	a := &abilities{}
	_, a.has[canList] = p.(driver.QueueManager)
	a.has[canManage] = a.has[canList]
	_, a.has[canBrowse] = p.(driver.Browser)
	_, a.has[canRedrive] = p.(driver.Archivist)
	_, a.has[canReasons] = p.(driver.ReasonCounter)
	_, a.has[canOverride] = p.(driver.Overrider)
	a.has[canMove] = a.has[canOverride] && caps.AtomicMove
	_, a.has[canPause] = p.(driver.Pauser)
	_, a.has[canConsumers] = p.(driver.Registry)
	_, a.has[canTopics] = p.(driver.Router)
	a.has[canBindings] = a.has[canTopics]
	a.has[canGroups], a.has[canDelay], a.has[canHeaders] = caps.Groups, caps.Delay, caps.Headers
	return a
}

// to reports whether the provider can do what x says.
func (a *abilities) to(x ability) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.has[x]
}

// learn takes note of an error that says that the provider cannot do it, and returns it.
func (a *abilities) learn(x ability, err error) error {
	if errors.Is(err, mq.ErrNotSupported) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.has[x] = false
	}
	return err
}

// The methods below are for the templates.

// Browse reports whether messages can be looked at.
func (a *abilities) Browse() bool { return a.to(canBrowse) }

// Manage reports whether queues can be purged and dropped.
func (a *abilities) Manage() bool { return a.to(canManage) }

// Redrive reports whether archived messages can be brought back, and purged.
func (a *abilities) Redrive() bool { return a.to(canRedrive) }

// Override reports whether messages can be settled by their IDs.
func (a *abilities) Override() bool { return a.to(canOverride) }

// Move reports whether they can be moved to another queue.
func (a *abilities) Move() bool { return a.to(canMove) }

// Pause reports whether queues can be paused.
func (a *abilities) Pause() bool { return a.to(canPause) }

// Topics reports whether queues can be bound.
func (a *abilities) Topics() bool { return a.to(canTopics) }

// Groups reports whether messages have groups.
func (a *abilities) Groups() bool { return a.to(canGroups) }

// Delay reports whether messages can be delayed.
func (a *abilities) Delay() bool { return a.to(canDelay) }

// Headers reports whether messages have headers.
func (a *abilities) Headers() bool { return a.to(canHeaders) }
