package main

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/portmq/mq"
	"github.com/portmq/mq/driver"
	"github.com/portmq/mq/drivers/mem"
	"github.com/portmq/mq/mqtest"
)

// TestDoctorUnseen: a look that fails is a finding, and the others go on unless
// nothing answers any more.
func TestDoctorUnseen(t *testing.T) {
	hangs := func(op string) mqtest.Fault { return mqtest.Fault{Op: op, Delay: mq.Forever} }
	refused := mqtest.Fault{Op: "stats", Err: driver.ErrInvalid}
	for _, tt := range []struct {
		name   string
		faults []mqtest.Fault
		want   string
		ends   bool
	}{
		{"one hangs", []mqtest.Fault{hangs("stats")}, "problem  delays  what delays need could not be checked: no answer in 15s\n", false},
		{"all hang", []mqtest.Fault{hangs("stats"), hangs("ping")}, "no answer in 15s\n", true},
		{"one is lost", []mqtest.Fault{{Op: "stats", Err: driver.ErrUnavailable}}, "could not be checked: stats", false},
		{"all are lost", []mqtest.Fault{{Op: "stats", Err: driver.ErrBadConn}, {Op: "ping", Err: driver.ErrBadConn}}, "could not be checked: stats", true},
		{"refused", []mqtest.Fault{refused, hangs("ping")}, "could not be checked: stats", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := mq.New(mqtest.Faulty(mem.New(), tt.faults...), mq.Config{})
				start := time.Now()
				text, problems := findings(t, func(d *doctor) {
					d.client = c
					if err := d.look(t.Context(), "delays", "what delays need", d.delays); (err != nil) != tt.ends {
						t.Errorf("the error is %v", err)
					}
				})
				if !strings.Contains(text, tt.want) || problems != 1 || time.Since(start) > time.Minute {
					t.Errorf("%d problems after %v:\n%swant %q", problems, time.Since(start), text, tt.want)
				}
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestDoctorAlarmsSilent: a broker that falls silent takes no longer than any look,
// and ends the doctor unless it answers again.
func TestDoctorAlarmsSilent(t *testing.T) {
	for name, when := range map[string]mqtest.When{"once": mqtest.Nth(1), "for good": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := mq.New(mqtest.Faulty(mem.New(), mqtest.Fault{Op: "send", Delay: mq.Forever},
					mqtest.Fault{Op: "ping", Delay: mq.Forever, When: when}), mq.Config{})
				start := time.Now()
				text, problems := findings(t, func(d *doctor) {
					d.client = c
					if err := d.alarms(t.Context()); (err != nil) != (when == nil) {
						t.Errorf("the error is %v", err)
					}
				})
				took, most := time.Since(start), lookTime
				if when == nil {
					most += 30 * time.Second // for a last ping
				}
				if want := "whether the broker takes messages could not be checked: no answer in 15s\n"; !strings.Contains(text, want) || problems != 1 || took != most {
					t.Errorf("%d problems after %v:\n%swant %q", problems, took, text, want)
				}
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestDoctorInterrupted: a look that a signal ends is not a finding.
func TestDoctorInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errInterrupted)
	text, _ := findings(t, func(d *doctor) {
		if err := d.unseen(ctx, look{where: "meta"}, context.Canceled); !errors.Is(err, errInterrupted) {
			t.Errorf("the error is %v", err)
		}
		if err := d.unseen(ctx, look{where: "meta"}, nil); err != nil {
			t.Errorf("the error is %v", err)
		}
	})
	if text != "" {
		t.Errorf("it says %s", text)
	}
}

// asked is a database that counts who wants to ask it.
type asked struct{ n int }

func (a *asked) Connect(context.Context) (sqldriver.Conn, error) {
	a.n++
	return nil, errors.New("not answered")
}

func (a *asked) Driver() sqldriver.Driver { return nil }

// TestInTheWay: a session is named only for a check that waited for a lock. A
// statement that was merely slow was not blocked, whoever holds locks meanwhile.
func TestInTheWay(t *testing.T) {
	for code, want := range map[string]int{lockTimeout: 1, cutOff: 0, denied: 0} {
		a := new(asked)
		d := &doctor{db: sql.OpenDB(a)}
		if text := d.inTheWay(t.Context(), look{where: "w"}, &pgconn.PgError{Code: code}); text != "" || a.n != want {
			t.Errorf("%s: it says %q after %d questions, want %d", code, text, a.n, want)
		}
		if err := d.db.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestWhyUnseen(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("w: %w", &pgconn.PgError{Code: "55P03"}), "no lock within 2s"},
		{&pgconn.PgError{Code: "57014"}, "it took longer than 10s"},
		{fmt.Errorf("w: %w", context.DeadlineExceeded), "no answer in 15s"},
		{&pgconn.PgError{Severity: "ERROR", Message: "permission denied", Code: "42501"}, "ERROR: permission denied (SQLSTATE 42501)"},
	} {
		if got := whyUnseen(tt.err); got != tt.want {
			t.Errorf("it says %q, want %q", got, tt.want)
		}
	}
}
