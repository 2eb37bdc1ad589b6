// Beside the library, so that programs without a web page need none of it.
module github.com/portmq/mq/mqui

go 1.26.0

require github.com/portmq/mq v0.0.0
