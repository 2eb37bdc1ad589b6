module github.com/portmq/mq

go 1.26.0
