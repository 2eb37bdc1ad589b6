// Package server finds or starts the servers that tests need.
//
// A server named by the environment comes first, then a container, then a
// private one made with the programs of this machine. What is started listens
// on loopback only and ends with the tests, however those end.
//
// All tests share one server of a kind; each has a database or vhost of its
// own in it. The command withservers names one for all packages of a run.
// Without it every package starts its own. Tests that stop a server or change
// its settings ask for OwnPostgres or OwnRabbitMQ.
//
//	MQ_TEST_POSTGRES       postgres:// DSN of a role that may create databases and roles
//	MQ_TEST_POSTGRES_FROM  the only way to look for PostgreSQL: env, docker or local
//	MQ_TEST_POSTGRES_BIN   the folder of PostgreSQL's programs, if not this machine's own
//	MQ_TEST_PGMQ_IMAGE     the image of PostgreSQL to run in a container
//	MQ_TEST_PGMQ_SQL       PGMQ's own file of SQL, for the tests beside its functions
//	MQ_TEST_PGBOUNCER      postgres:// URL of a PgBouncer in transaction mode before MQ_TEST_POSTGRES
//	MQ_TEST_PGBOUNCER_PROGRAM  the program to run as PgBouncer
//	MQ_TEST_AMQP           amqp:// DSN of an administrator
//	MQ_TEST_RABBITMQ_API   http:// URL of its management plugin, if not at the usual port
//	MQ_TEST_RABBITMQ_FROM  the only way to look for RabbitMQ: env, docker or local
//	MQ_TEST_RABBITMQ_IMAGE the image of RabbitMQ to run in a container
//	MQ_TEST_REQUIRE        what must be there, with commas: pgmq, pgbouncer, rabbitmq. A
//	                       test that lacks it fails; without this it is skipped.
package server

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Run runs the tests, says which servers they have used, and stops those that
// it has started. It is for TestMain.
func Run(m *testing.M) (code int) {
	code = m.Run()
	for _, line := range used.lines {
		fmt.Println(line)
	}
	if err := Stop(); err != nil {
		fmt.Println(err)
		code = max(code, 1)
	}
	return code
}

// RunWaiting is Run with n tests at once, whatever -parallel says. It is for
// packages whose tests wait most of the time.
func RunWaiting(m *testing.M, n int) (code int) {
	flag.Parse() // else m.Run parses after us, and -parallel wins
	if err := flag.Set("test.parallel", strconv.Itoa(n)); err != nil {
		fmt.Println(err)
		return 1
	}
	return Run(m)
}

// Stop stops every server that was started.
func Stop() error {
	used.Lock()
	defer used.Unlock()
	var errs []error
	for _, stop := range slices.Backward(used.stops) {
		errs = append(errs, stop())
	}
	used.stops = nil
	return errors.Join(errs...)
}

// used is what the tests have asked for so far.
var used struct {
	sync.Mutex
	lines []string
	stops []func() error
}

// use notes a server for Run and Stop.
func use(line string, stop func() error) {
	used.Lock()
	defer used.Unlock()
	used.lines = append(used.lines, line)
	used.stops = append(used.stops, stop)
}

// lend gives a test something that only one may have at a time.
func lend(tb testing.TB, it *sync.Mutex) {
	it.Lock()
	tb.Cleanup(it.Unlock)
}

// missing ends a test that cannot have its server.
func missing(tb testing.TB, what string, err error) {
	tb.Helper()
	if required(what) {
		tb.Fatal(err)
	}
	tb.Skip(err)
}

func required(what string) bool {
	return slices.Contains(strings.Split(os.Getenv("MQ_TEST_REQUIRE"), ","), what)
}
