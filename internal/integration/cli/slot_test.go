package cli

import (
	"encoding/binary"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/portmq/mq/internal/integration/server"
)

// TestDoctorSlot is alone with its server: a slot keeps the dead rows of all
// databases.
func TestDoctorSlot(t *testing.T) {
	t.Parallel()
	s := newShopOn(t, server.OwnPostgres(t))
	s.must("install")
	s.exec("SELECT pg_create_physical_replication_slot('left_behind', true)")
	defer s.exec("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = 'left_behind'")
	s.healthy()
	s.standby("left_behind", s.count("SELECT txid_current() % (1::bigint << 32)"))
	s.eventually("the slot keeps rows", func() bool {
		return s.count("SELECT count(*) FROM pg_replication_slots WHERE xmin IS NOT NULL AND NOT active") == 1
	})
	a := ailment{level: "problem", where: "replication slot", finding: "nobody uses slot left_behind", cure: "SELECT pg_drop_replication_slot('left_behind')"}
	s.suffer(a)
	s.recover(a)
	for _, f := range s.examine() {
		if f.Where == a.where {
			t.Errorf("the doctor finds %+v", f)
		}
	}
}

// standby streams by way of a slot for a moment, and lets it know that a
// transaction of its own may still see the rows of one here.
func (s *shop) standby(slot string, xmin int) {
	s.Helper()
	cfg, err := pgconn.ParseConfig(s.admin)
	if err != nil {
		s.Fatal(err)
	}
	cfg.RuntimeParams["replication"] = "true"
	conn, err := pgconn.ConnectConfig(s.Context(), cfg)
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = conn.Close(s.Context()) }()
	conn.Frontend().Send(&pgproto3.Query{String: "START_REPLICATION SLOT " + slot + " PHYSICAL 0/1000000"})
	feedback := binary.BigEndian.AppendUint64([]byte{'h'}, 0) // the time
	feedback = binary.BigEndian.AppendUint32(feedback, uint32(xmin))
	feedback = append(feedback, make([]byte, 3*4)...) // its epoch, and none for the catalog
	conn.Frontend().Send(&pgproto3.CopyData{Data: feedback})
	conn.Frontend().Send(&pgproto3.CopyDone{})
	if err := conn.Frontend().Flush(); err != nil {
		s.Fatal(err)
	}
	for {
		m, err := conn.ReceiveMessage(s.Context())
		if err != nil {
			s.Fatal(err)
		}
		switch m := m.(type) {
		case *pgproto3.ErrorResponse:
			s.Fatal(m.Message)
		case *pgproto3.CopyDone, *pgproto3.ReadyForQuery:
			return
		}
	}
}
