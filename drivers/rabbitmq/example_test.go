package rabbitmq_test

import (
	"fmt"

	"github.com/portmq/mq"
	_ "github.com/portmq/mq/drivers/rabbitmq"
)

// Opening does no I/O: a broker that is down shows at the first call.
func Example() {
	c, err := mq.Open("rabbitmq://app:password@localhost/shop")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	fmt.Println(c.Caps().Delay, c.Caps().PortableReceipts)
	// Output: true false
}
