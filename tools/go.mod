// Helpers of the Makefile, a module of their own so that they are in nobody's
// way. The pinned tools are in tools.mod.
module github.com/portmq/mq/tools

go 1.26.0
