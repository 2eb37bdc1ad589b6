// Package faults attacks drivers/pgmq: servers and connections that fail,
// roles without rights, rows that other programs wrote, settings that get in
// the way.
package faults
