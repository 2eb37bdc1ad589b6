// Package groups tests the FIFO groups of drivers/pgmq: that they are strict
// when ids are committed out of order, and that a claim costs the same however
// long the queue is.
package groups
