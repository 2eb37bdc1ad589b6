package cli

import (
	"fmt"
	"strings"
	"testing"
)

// TestRedriveEnds: a redrive beside workers that reject everything ends, and
// moves each message once.
func TestRedriveEnds(t *testing.T) {
	const n = 3000
	for _, args := range []string{"-all", "-all -reason status", "-n 1000000", "-n 1000000 -reason status"} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			s.must("create", "w")
			// Their reason is that of mq work, so that they can be told from later ones by the time only.
			s.exec(`INSERT INTO pgmq.a_w (msg_id, vt, message, headers) SELECT g, now(), '{}', '{"mq-reason": "exit status"}' FROM generate_series(1, $1::int) g`, n)
			s.exec("SELECT setval(pg_get_serial_sequence('pgmq.q_w', 'msg_id'), $1::int)", n)
			// Rejecting is the server's work here, which is faster than any worker.
			s.exec(`CREATE FUNCTION reject() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				INSERT INTO pgmq.a_w (msg_id, vt, message, headers) SELECT msg_id, vt, message, headers || '{"mq-reason": "exit status"}' FROM added;
				DELETE FROM pgmq.q_w; RETURN NULL; END $$`)
			s.exec("CREATE TRIGGER reject AFTER INSERT ON pgmq.q_w REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION reject()")
			s.prints(fmt.Sprintf("redriven %d messages", n), append([]string{"archive", "redrive", "w"}, strings.Fields(args)...)...)
			if got := s.count("SELECT count(*) FROM pgmq.a_w WHERE headers ? 'mq-origin'"); got != n {
				t.Errorf("%d of %d have been in the queue", got, n)
			}
		})
	}
}
