// Mq is the operator's tool for the queues of every provider: it lists and
// watches them, sends, receives and settles messages, works on dead letters,
// runs a command per message, and looks after the backend.
//
//	export MQ_DSN=pgmq://app@localhost/shop
//	mq stats -watch
//	mq send orders '{"id":1}'
//
// mq help shows the commands, mq help COMMAND one of them with examples.
//
// It exits with 0 on success, with 2 on wrong usage, with 75 if
// mq work could not store the outcome of some messages, with 130 if a signal
// interrupted something unfinished, with 141 if the reader of its output went
// away, and else with 1.
package main

import (
	"os"

	// A driver is one line: importing it registers the scheme of its DSNs.
	_ "github.com/portmq/mq/drivers/mem"
	_ "github.com/portmq/mq/drivers/pgmq"
	_ "github.com/portmq/mq/drivers/rabbitmq"
	_ "github.com/portmq/mq/drivers/rabbitstub"
	_ "github.com/portmq/mq/drivers/sqlite"
)

func main() {
	runAsWatchdog()
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv}
	ctx, stop := a.signals()
	code := a.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}
