// Package ncruces tests drivers/sqlite on github.com/ncruces/go-sqlite3, which is SQLite
// in C, compiled to WebAssembly and then to Go.
package ncruces

import (
	"net/url"
	"testing"

	_ "github.com/ncruces/go-sqlite3/driver" // registers itself as "sqlite3"

	"github.com/portmq/mq/internal/integration/sqlite"
)

// A transaction of this library begins IMMEDIATE unless it is told otherwise. Then one
// that has only begun keeps all writers waiting, which cases of the suite do not expect.
var library = sqlite.Library{Name: "sqlite3", Settings: url.Values{
	"_pragma": {"busy_timeout(20000)", "journal_mode(wal)", "synchronous(full)"}, "_txlock": {"deferred"},
}}

func TestNcruces(t *testing.T) { library.Run(t) }

func TestNcrucesRefuses(t *testing.T) {
	library.Refuses(t, url.Values{"_pragma": {"journal_mode(wal)", "synchronous(normal)"}})
}

func TestNcrucesCutOff(t *testing.T) { library.CutOff(t) }

func TestNcrucesOperates(t *testing.T) { library.Operates(t) }
