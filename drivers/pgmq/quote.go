package pgmq

import (
	"strings"
	"unicode/utf8"
)

// schema is where PGMQ keeps its tables.
const schema = "pgmq"

// ident quotes an identifier. No name gets into a statement but through here.
func ident(name string) string {
	if strings.IndexByte(name, 0) >= 0 {
		panic("pgmq: NUL in an identifier")
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// table returns the quoted name of the table of a queue ("q_") or of its
// archive ("a_").
func table(prefix, queue string) string {
	return ident(schema) + "." + ident(prefix+queue)
}

// channel returns the name, not quoted, of the channel that PGMQ's trigger
// notifies of inserts. It is as long as an identifier may be: queues that share
// a channel only wake each other.
func channel(queue string) string {
	name := schema + ".q_" + queue + ".INSERT"
	for len(name) > maxIdent {
		_, n := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-n]
	}
	return name
}

// maxIdent is PostgreSQL's NAMEDATALEN, less the final NUL.
const maxIdent = 63

// literal quotes a constant that cannot be bound, since an index is made for
// it or it stands in a command that takes no values. It holds whatever
// standard_conforming_strings is.
func literal(text string) string {
	if strings.IndexByte(text, 0) >= 0 {
		panic("pgmq: NUL in a literal")
	}
	text = strings.ReplaceAll(text, `\`, `\\`)
	return "E'" + strings.ReplaceAll(text, "'", "''") + "'"
}
