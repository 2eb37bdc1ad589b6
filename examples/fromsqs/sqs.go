package main

import (
	"context"
	"time"

	"github.com/portmq/mq"
)

// sqs has the calls of an SQS client, as far as most programs use them, on a
// queue of mq. It is all that the old code needs to run on another backend: a
// receipt handle is a receipt.
type sqs struct{ q *mq.Queue }

// sqsMessage is what ReceiveMessage returns.
type sqsMessage struct {
	MessageID, ReceiptHandle, Body string
	ApproximateReceiveCount        int
}

// SendMessage sends one message. With groupID it is one of a FIFO queue.
func (s sqs) SendMessage(ctx context.Context, body, groupID string, delaySeconds int) (id string, err error) {
	return s.q.Send(ctx, &mq.Message{Body: []byte(body), Group: groupID, Delay: seconds(delaySeconds)})
}

// ReceiveMessage waits for messages as long polling does.
func (s sqs) ReceiveMessage(ctx context.Context, maxNumber, visibilityTimeout, waitTimeSeconds int) (ms []sqsMessage, err error) {
	ds, err := s.q.Receive(ctx, mq.ReceiveOptions{
		Max: maxNumber, Visibility: seconds(visibilityTimeout), Wait: seconds(waitTimeSeconds),
	})
	for _, d := range ds {
		ms = append(ms, sqsMessage{d.ID, string(d.Receipt), string(d.Body), d.ReadCount})
	}
	return ms, err
}

// DeleteMessage deletes a message that was received.
func (s sqs) DeleteMessage(ctx context.Context, receiptHandle string) error {
	return s.q.Settle(ctx, mq.Settlement{Receipt: mq.Receipt(receiptHandle), Op: mq.OpAck})
}

// ChangeMessageVisibility prolongs a lease, or with 0 ends it.
func (s sqs) ChangeMessageVisibility(ctx context.Context, receiptHandle string, visibilityTimeout int) error {
	if visibilityTimeout == 0 {
		return s.q.Settle(ctx, mq.Settlement{Receipt: mq.Receipt(receiptHandle), Op: mq.OpNack})
	}
	return s.q.Extend(ctx, seconds(visibilityTimeout), mq.Receipt(receiptHandle))
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }
