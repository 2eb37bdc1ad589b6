package main

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/portmq/mq"
	"github.com/portmq/mq/drivers/rabbitmq"
)

// rabbitmq looks at a broker, as far as AMQP shows it.
func (d *doctor) rabbitmq(ctx context.Context, p *rabbitmq.Provider, queues []string) error {
	err := d.look(ctx, "version", "the broker's version", func(ctx context.Context) error { return d.broker(ctx, p) })
	if err == nil {
		err = d.alarms(ctx)
	}
	if err == nil {
		err = d.look(ctx, "delays", "what delays need", d.delays)
	}
	if err == nil && len(queues) == 0 {
		d.advice("queues", "none was checked: AMQP cannot list queues (name those to check: mq doctor QUEUE...)")
	}
	for _, queue := range queues {
		if err == nil {
			err = d.look(ctx, queue, "the queue", func(ctx context.Context) error { return d.topology(ctx, queue) })
		}
	}
	return err
}

// look runs f for no longer than lookTime. See unseen for its errors.
func (d *doctor) look(ctx context.Context, where, what string, f func(context.Context) error) error {
	short, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	return d.unseen(ctx, look{where, what, nil}, f(short))
}

func (d *doctor) broker(ctx context.Context, p *rabbitmq.Provider) error {
	version, err := p.ServerVersion(ctx)
	if err != nil {
		return err
	}
	major, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(major); err == nil && n < 4 {
		d.advice("version", "RabbitMQ %s works, but 4.0 and later are what is maintained", version)
	} else {
		d.ok("version", "RabbitMQ %s", version)
	}
	return nil
}

// noQueue is a queue that nobody has: a message for it comes back.
const noQueue = "mq.doctor.none"

// alarmWait is how long a publish may take. A broker with an alarm answers
// none.
const alarmWait = 5 * time.Second

// alarms looks whether the broker takes messages.
func (d *doctor) alarms(ctx context.Context) error {
	return d.look(ctx, "alarms", "whether the broker takes messages", d.publish)
}

// publish publishes messages that cannot be routed: a broker announces an alarm
// only to publishers, and may still accept their first message.
func (d *doctor) publish(ctx context.Context) error {
	wait, cancel := context.WithTimeout(ctx, alarmWait)
	defer cancel()
	for range 2 {
		_, err := d.client.Queue(noQueue).Send(wait, &mq.Message{})
		blocked := d.client.Ping(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if errors.Is(err, mq.ErrQueueNotFound) && blocked == nil {
			continue
		}
		if blocked != nil {
			err = blocked
		}
		d.problem("alarms", "the broker takes no messages: %s (rabbitmq-diagnostics alarms tells more)", oneLine(err))
		return nil
	}
	d.ok("alarms", "the broker takes messages")
	return nil
}

// lostDelays is the queue of delayed messages whose queue is gone. It is made
// with the delays.
const lostDelays = "mq.delay.lost"

// delays looks whether the queues and exchanges of delays are there.
func (d *doctor) delays(ctx context.Context) error {
	s, err := d.client.Queue(lostDelays).Stats(ctx)
	switch {
	case errors.Is(err, mq.ErrQueueNotFound):
		d.advice("delays", "nothing has been delayed in this vhost: the first delay, which may be a retry, needs the right to configure, write and read mq.delay.*")
	case err != nil:
		return err
	case s.Visible > 0:
		d.problem("delays", "%s to queues that are gone, in %s (mq receive %s shows them)", plural(s.Visible, "delayed message"), lostDelays, lostDelays)
	default:
		d.ok("delays", "made")
	}
	return nil
}

// topology compares a queue with how it would be declared. AMQP compares arguments
// only in a declare; for a queue that is there that changes nothing.
func (d *doctor) topology(ctx context.Context, queue string) error {
	s, err := d.client.Queue(queue).Stats(ctx)
	switch {
	case errors.Is(err, mq.ErrQueueNotFound):
		d.problem(queue, "there is no such queue (mq create %s makes it)", queue)
		return nil
	case err != nil:
		return err
	case s.Archived < 0:
		d.problem(queue, "it has no archive, so that nothing can be archived and rejected messages are lost (mq create %s makes it)", queue)
		return nil
	}
	switch _, err := d.client.EnsureQueue(ctx, queue, mq.QueueOptions{AnyName: true}); {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		d.problem(queue, "%s", oneLine(err))
	default:
		d.ok(queue, "declared as it should be; %d messages ready, %d in the archive", s.Visible, s.Archived)
	}
	return nil
}
