package main

import (
	"net/url"
	"strings"

	"github.com/portmq/mq"
)

// receiptText writes a receipt as the commands show and take it: with its queue
// in front, as in orders:p1:7:1:..., so that it says all that is needed to
// settle the message.
func receiptText(queue string, r mq.Receipt) string {
	return url.QueryEscape(queue) + ":" + string(r)
}

// parseReceipt is the way back.
func parseReceipt(text string) (queue string, r mq.Receipt, err error) {
	name, rest, ok := strings.Cut(text, ":")
	queue, bad := url.QueryUnescape(name)
	if !ok || bad != nil || queue == "" || rest == "" {
		return "", "", usagef("%q is not a receipt (give it as mq receive shows it: QUEUE:...)", text)
	}
	return queue, mq.Receipt(rest), nil
}
