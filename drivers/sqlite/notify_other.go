//go:build !linux

package sqlite

// notify cannot tell of changes here.
func notify(string) (changes <-chan struct{}, stop func()) { return nil, func() {} }
