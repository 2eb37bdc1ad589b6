// Package suite tests drivers/pgmq on live servers: with the whole suite of
// drivertest, by every way to a server, and beside the other clients of PGMQ.
package suite
