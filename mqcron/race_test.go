//go:build race

package mqcron_test

func init() { raced = true }
