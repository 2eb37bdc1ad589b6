package workflow_test

// The providers that MQ_TEST_DSN may name.
import (
	_ "github.com/portmq/mq/drivers/mem"
	_ "github.com/portmq/mq/drivers/pgmq"
	_ "github.com/portmq/mq/drivers/rabbitmq"
	_ "github.com/portmq/mq/drivers/rabbitstub"
	_ "github.com/portmq/mq/drivers/sqlite"
)
