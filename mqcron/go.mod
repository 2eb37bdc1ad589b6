// Beside the library, so that the parser of cron texts stays out of its users'
// module graph.
module github.com/portmq/mq/mqcron

go 1.26.0

require (
	github.com/portmq/mq v0.0.0
	github.com/robfig/cron/v3 v3.0.1
)
