// Package rabbitmq is the driver for RabbitMQ 3.10 and later, over AMQP 0.9.1.
// Importing it registers the schemes "rabbitmq", "amqp" and "amqps":
//
//	rabbitmq://user:password@host:port,host2:port2/vhost?parameter=value
//
// amqps adds TLS. Several hosts are nodes of one cluster, tried in
// order. Without a user it is guest with password guest, without a vhost "/".
// The parameters are
//
//	heartbeat=10s                 how often each side sends a sign of life
//	connection_timeout=10s        for dialling, TLS and the handshake of one host
//	connection_name=NAME          shown by the broker's tools, with the purpose behind it; driver.ClientName
//	auth_mechanism=plain|external external takes the user from the client certificate
//	cacertfile, certfile, keyfile PEM files, for amqps
//	verify=verify_peer|verify_none
//	server_name_indication        the name to verify, if it is not the host
//	consumer_timeout=30m          the broker's setting of that name, see Caps.MaxHold
//	max_message_size=16777216     the broker's setting of that name, see Caps.MaxBody
//
// # Topology
//
// A queue is a durable quorum queue of its name, its archive another one called
// {queue}.archive. Messages go through the default exchange. Delays go through
// a ladder of shared queues whose names begin with "mq.delay.", made when the
// first delay needs them. Consumers and publishers of other libraries can use
// the same queues.
//
// # Leases
//
// AMQP has no leases that outlive their holder. The broker keeps a delivered
// message from others until the channel it was delivered on acks or returns
// it, or is closed; the visibility timeout is a timer in this process that
// returns it. A receipt therefore names a channel and a delivery on it, and is
// stale once that channel, or its connection, is gone: the broker has then
// given the messages to others.
//
// A message that was held for Caps.MaxHold is returned, whatever its
// extensions, before the broker's consumer_timeout would close the channel and
// take all leases of the queue along.
//
// Delivery.Native is the *amqp091.Delivery. Its properties may be read; its
// Ack, Nack and Reject must not be called, since the driver counts on being
// the only one to do so.
//
// docs/rabbitmq.md has the rest: the mapping, rights, limits, and differences
// from PGMQ.
package rabbitmq
