package pgmq

import "strings"

// InstallSQL returns what [Install] runs in a database without PGMQ, as one
// transaction that may be run any number of times: for those who make their
// schemas by migrations, or want to read it first. It makes what queues need
// besides their own tables. It does not bring older queues up to date; Install
// does.
func InstallSQL() string {
	var b strings.Builder
	b.WriteString("BEGIN;\n")
	for _, name := range append([]string{"lock install"}, installation...) {
		b.WriteString("\n" + statement(name, nil) + ";\n")
	}
	b.WriteString("\nCOMMIT;\n")
	return b.String()
}
