package rabbitstub

import "github.com/portmq/mq"

func init() { mq.Register("rabbitstub", stubDriver{}) }
