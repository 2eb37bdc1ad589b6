package main

import (
	"strings"
	"sync"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/mqtest"
)

// A command opens its provider by a DSN. Scheme faulty is the store of another
// DSN with the faults that a test has planned: faulty://mem/orders is
// mem://orders.
func init() { mq.Register("faulty", faultyDriver{}) }

type faultyDriver struct{}

// planned has the []mqtest.Fault of each DSN.
var planned sync.Map

func (faultyDriver) Open(dsn string, _ driver.Env) (driver.Provider, error) {
	store := strings.TrimPrefix(dsn, "faulty://")
	c, err := mq.Open(strings.Replace(store, "/", "://", 1))
	if err != nil {
		return nil, err
	}
	plan, _ := planned.Load(dsn)
	faults, _ := plan.([]mqtest.Fault)
	return mqtest.Faulty(c.Provider(), faults...), nil
}

// suffer plans faults for the command lines that d runs from now on.
func (d *desk) suffer(faults ...mqtest.Fault) {
	d.dsn = "faulty://" + strings.Replace(d.dsn, "://", "/", 1)
	planned.Store(d.dsn, faults)
	d.Cleanup(func() { planned.Delete(d.dsn) })
}
