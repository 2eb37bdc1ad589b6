// Package rabbitmq tests drivers/rabbitmq on a live broker: with the whole
// suite of drivertest, and with faults.
package rabbitmq
