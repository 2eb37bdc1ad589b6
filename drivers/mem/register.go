package mem

import "github.com/portmq/mq"

func init() { mq.Register("mem", memDriver{}) }
