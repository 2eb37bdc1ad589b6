package mq

import (
	"errors"
	"runtime/debug"
)

// errGoexit stands for the result of a function that ended its goroutine.
var errGoexit = errors.New("runtime.Goexit was called")

// recovered calls f and returns its panic as a *PanicError.
func recovered(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return f()
}

// isolated calls f, which is the program's code, in a goroutine of its own and
// waits for it, so that neither a panic nor runtime.Goexit can end ours.
func isolated(f func()) error {
	err := errGoexit
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = recovered(func() error {
			f()
			return nil
		})
	}()
	<-done
	return err
}
