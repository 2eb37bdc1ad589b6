package rabbitmq

import (
	"context"

	amqp "github.com/rabbitmq/amqp091-go"
)

// ServerVersion returns the broker's version as it tells it, as in "3.13.7". It
// dials if there is no connection.
func (p *Provider) ServerVersion(ctx context.Context) (string, error) {
	var text string
	err := p.onChannel(ctx, func(s *session, _ *amqp.Channel) error {
		text, _ = s.Properties["version"].(string)
		return nil
	})
	return text, err
}
