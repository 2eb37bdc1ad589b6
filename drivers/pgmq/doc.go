// Package pgmq is the driver for PGMQ queues on PostgreSQL.
package pgmq
