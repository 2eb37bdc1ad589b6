// Package nodriver lacks the import that mqtest.New needs.
package nodriver

import (
	"testing"

	"github.com/portmq/mq/mqtest"
)

func Test(t *testing.T) { mqtest.New(t) }
