package server

import (
	"errors"
	"slices"
)

// Share finds or starts one server of each kind. It returns the variables that
// name them to the processes of a run, why others are missing, and what ends
// those that it has started.
func Share() (env, missing []string, stop func() error) {
	note := func(err error) { missing = append(missing, err.Error()) }
	stop = Stop
	if c, err := FindPostgres(); err != nil {
		note(err)
	} else {
		env = append(env, "MQ_TEST_POSTGRES="+c.dsn.String())
		if b, err := StartPgBouncer(c, "transaction"); err != nil {
			note(err)
		} else {
			env = append(env, "MQ_TEST_PGBOUNCER="+b.at.String())
			stop = func() error { return errors.Join(b.Close(), Stop()) }
		}
	}
	if b, err := FindRabbitMQ(); err != nil {
		note(err)
	} else {
		env = append(env, "MQ_TEST_AMQP="+b.dsn.String(), "MQ_TEST_RABBITMQ_API="+b.api.String())
	}
	return env, missing, stop
}

// Lines says which servers have been found so far.
func Lines() []string {
	used.Lock()
	defer used.Unlock()
	return slices.Clone(used.lines)
}
