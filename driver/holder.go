package driver

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// maxClientName is how long ClientName may be: PostgreSQL keeps 63 bytes.
const maxClientName = 63

// ClientName names this process to a backend that shows its connections, so that an
// operator finds out who holds a lease: "mq shop@host-7:4711", the program, the host
// and the process id, in printable ASCII. A driver uses it unless the DSN has a name.
var ClientName = sync.OnceValue(func() string {
	host, err := os.Hostname()
	if err != nil {
		host = "?"
	}
	return clientName(filepath.Base(os.Args[0]), host, os.Getpid())
})

// clientName shortens the names of program and host where they are too long, and
// never the process id.
func clientName(program, host string, pid int) string {
	id := ":" + strconv.Itoa(pid)
	room := maxClientName - len("mq @") - len(id)
	program, host = printable(program), printable(host)
	host = host[:min(len(host), max(room/2, room-len(program)))]
	program = program[:min(len(program), room-len(host))]
	return "mq " + program + "@" + host + id
}

// printable replaces what is not printable ASCII.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
