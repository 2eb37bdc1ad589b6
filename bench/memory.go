package main

import (
	"context"
	"fmt"
	"runtime"
)

// memory prints what mem keeps for n messages, and after their drain.
func memory(ctx context.Context, n int) error {
	m, err := newMemQueue()
	if err != nil {
		return err
	}
	defer m.Close()
	before := heapInUse()
	if err := m.fill(ctx, "visible", n); err != nil {
		return err
	}
	full := heapInUse()
	if err := m.Drain(ctx, workers, n); err != nil {
		return err
	}
	drained := heapInUse()
	runtime.KeepAlive(m)

	fmt.Printf("### mq on mem: memory of %d messages of %d bytes\n\n", n, bodySize)
	table([][]string{
		{"", ""},
		{"heap per message above the body, bytes", fmt.Sprintf("%.0f", float64(full-before)/float64(n)-bodySize)},
		{"heap when full, MiB", fmt.Sprintf("%.0f", mib(full-before))},
		{"heap after the drain, MiB", fmt.Sprintf("%.1f", mib(drained-before))},
	})
	return nil
}

// heapInUse returns the bytes that are in use.
func heapInUse() int64 {
	runtime.GC()
	runtime.GC() // sweeps what the first one freed, pools included
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }
