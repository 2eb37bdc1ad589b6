// Package mattn tests drivers/sqlite on github.com/mattn/go-sqlite3, which is SQLite in
// C.
package mattn

import (
	"net/url"
	"testing"

	_ "github.com/mattn/go-sqlite3" // registers itself as "sqlite3"

	"github.com/portmq/mq/internal/integration/sqlite"
)

var library = sqlite.Library{Name: "sqlite3", Settings: url.Values{
	"_journal_mode": {"WAL"}, "_synchronous": {"FULL"}, "_busy_timeout": {"20000"}, "_txlock": {"deferred"},
}}

func TestMattn(t *testing.T) { library.Run(t) }

// TestMattnRefuses: synchronous = NORMAL is this library's default.
func TestMattnRefuses(t *testing.T) { library.Refuses(t, url.Values{"_journal_mode": {"WAL"}}) }

func TestMattnCutOff(t *testing.T) { library.CutOff(t) }

func TestMattnOperates(t *testing.T) { library.Operates(t) }
