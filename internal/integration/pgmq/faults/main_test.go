package faults

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/portmq/mq/internal/integration/server"
)

// TestMain looks, when all tests are over and all clients closed, for what
// they have left running.
func TestMain(m *testing.M) {
	code := server.RunWaiting(m, 24)
	if left := leaked(); left != "" {
		fmt.Printf("goroutines are left after Close:\n%s\n", left)
		code = 1
	}
	os.Exit(code)
}

// leaked returns the goroutines that run code of the library, if they do not
// end soon.
func leaked() (left string) {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		stacks := make([]byte, 1<<22)
		stacks = stacks[:runtime.Stack(stacks, true)]
		left = ""
		for stack := range strings.SplitSeq(string(stacks), "\n\n") {
			if strings.Contains(stack, "portmq/mq.") || strings.Contains(stack, "drivers/pgmq.") {
				left += stack + "\n\n"
			}
		}
		if left == "" {
			break
		}
	}
	return left
}
