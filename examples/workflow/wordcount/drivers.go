package main

// A driver is one line: importing it registers the scheme of its DSNs.
import (
	_ "github.com/portmq/mq/drivers/mem"
	_ "github.com/portmq/mq/drivers/pgmq"
	_ "github.com/portmq/mq/drivers/rabbitmq"
	_ "github.com/portmq/mq/drivers/rabbitstub"
	_ "github.com/portmq/mq/drivers/sqlite"
)
