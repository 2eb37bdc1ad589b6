package pgmq

import (
	"strings"
	"testing"
)

func TestOpenDB(t *testing.T) {
	db, err := OpenDB("pgmq://app:hunter2@127.0.0.1:1/shop?pool_max_conns=3&driver=pq")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if n := db.Stats().MaxOpenConnections; n != 3 || !isPGX(db) {
		t.Errorf("the pool has up to %d connections, and is of pgx: %t", n, isPGX(db))
	}
	switch err := db.PingContext(t.Context()); {
	case err == nil:
		t.Error("there is a server on port 1")
	case strings.Contains(err.Error(), "hunter2"):
		t.Error("the password shows:", err)
	}
}

func TestOpenDBRefuses(t *testing.T) {
	for _, dsn := range []string{"pgmq://app:hunter2@h/shop?frob=1", "pgmq:", "pgmq://app:hunter2@h:port/x"} {
		_, err := OpenDB(dsn)
		if err == nil || !strings.HasPrefix(err.Error(), "pgmq: ") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	}
}
