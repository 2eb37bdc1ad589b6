package rabbitmq_test

import "testing"

// TestNode runs the tests that stop a node, hold it up or change its settings:
// on one of their own, one after the other, beside those that share a node.
func TestNode(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(*testing.T){
		"AcksOfSlowQueue":       testAcksOfSlowQueue,
		"SettledOfSlowQueue":    testSettledOfSlowQueue,
		"Restarts":              testRestarts,
		"Disconnects":           testDisconnects,
		"Killed":                testKilled,
		"Oversized":             testOversized,
		"MemoryAlarm":           testMemoryAlarm,
		"ConsumerTimeout":       testConsumerTimeout,
		"WithinConsumerTimeout": testWithinConsumerTimeout,
		"BrokerDown":            testBrokerDown,
		"TLS":                   testTLS,
	} {
		t.Run(name, test)
	}
}
