package rabbitmq_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	_ "github.com/portmq/mq/drivers/rabbitmq"
	_ "github.com/portmq/mq/drivers/rabbitstub"
)

// both opens the driver, without a broker, and its stub.
func both(t *testing.T) (real, stub driver.Provider) {
	t.Helper()
	var ps [2]driver.Provider
	for i, dsn := range []string{"rabbitmq://", "rabbitstub://same"} {
		c, err := mq.Open(dsn)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		ps[i] = c.Provider()
	}
	return ps[0], ps[1]
}

// TestStubCaps: the stub promises what the driver does, but for what no
// process can.
func TestStubCaps(t *testing.T) {
	real, stub := both(t)
	want := real.Caps()
	want.Durable = false
	if got := stub.Caps(); got != want {
		t.Errorf("the stub's Caps are\n%+v, want\n%+v", got, want)
	}
}

// TestStubInterfaces: what the driver has not, the stub has not.
func TestStubInterfaces(t *testing.T) {
	real, stub := both(t)
	for _, typ := range []reflect.Type{
		reflect.TypeFor[driver.QueueManager](), reflect.TypeFor[driver.Popper](), reflect.TypeFor[driver.Browser](),
		reflect.TypeFor[driver.Archivist](), reflect.TypeFor[driver.GroupReceiver](), reflect.TypeFor[driver.Transactor](),
		reflect.TypeFor[driver.Router](), reflect.TypeFor[driver.Namer](),
	} {
		if r, s := reflect.TypeOf(real).Implements(typ), reflect.TypeOf(stub).Implements(typ); r != s {
			t.Errorf("driver.%s: the driver has it: %v, the stub: %v", typ.Name(), r, s)
		}
	}
}

func TestStubNames(t *testing.T) {
	real, stub := both(t)
	for _, name := range []string{
		"", "q", "Q", "a b", "a.b", "amq.q", "amq", "mq.delay.lost", "mq.delay", "q.archive", "a\x00", "a\n", "\xff",
		strings.Repeat("q", 247), strings.Repeat("q", 248),
	} {
		r, rErr := real.(driver.Namer).QueueName(name)
		s, sErr := stub.(driver.Namer).QueueName(name)
		if r != s || (rErr == nil) != (sErr == nil) {
			t.Errorf("%.60q: the driver says %q, %v, the stub %q, %v", name, r, rErr, s, sErr)
		}
	}
}
