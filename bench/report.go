package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// median returns the middle one of xs, the lower of two.
func median[T cmp.Ordered](xs []T) T {
	xs = slices.Sorted(slices.Values(xs))
	return xs[(len(xs)-1)/2]
}

// medianOf is the median of what f says of xs.
func medianOf[X any, T cmp.Ordered](xs []X, f func(X) T) T {
	var ts []T
	for _, x := range xs {
		ts = append(ts, f(x))
	}
	return median(ts)
}

// atLeast formats a bar that x should not be below. No bar is 0.
func atLeast(x, bar float64) string {
	if bar == 0 {
		return ""
	}
	return fmt.Sprintf(">= %g %s", bar, verdict(x >= bar))
}

// atMost formats a bar that x should not be above.
func atMost(x, bar float64) string {
	return fmt.Sprintf("<= %g %s", bar, verdict(x <= bar))
}

func verdict(ok bool) string {
	if ok {
		return "ok"
	}
	return "MISSED"
}

// table prints rows as Markdown, the first of them as the head.
func table(rows [][]string) {
	for i, row := range rows {
		fmt.Printf("| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			fmt.Println("|---|" + strings.Repeat("---:|", len(row)-1))
		}
	}
	fmt.Println()
}
