// Package linear checks that a queue is linearizable. For each history of concurrent
// calls there must be an order in which each call takes effect at one moment between its
// start and its return, and in which a queue without concurrency gives the same answers.
//
// Clients run random calls on one queue, at the same time, and a [History] notes when
// each began, when it returned and what it answered. [History.Check] looks for the order
// with Porcupine, which implements Wing and Gong's search with Lowe's improvements.
//
// # The model
//
// A queue is checked message by message, since a message's state depends on no other
// one: queued, acked or archived, how often it was read, which lease is its last, and
// when it is due. Each call is taken apart into what it says about each message: a
// receive that returned fewer messages than its limit also says that no other message was
// visible. [History.CheckQueue] checks the same calls on the queue as a whole, where a
// send, a receive and a look are one step for all messages. That takes longer, so it is
// for small histories, and for backends where a call is one step.
//
// Times are those of the caller. A lease ends by the backend's clock, between the
// earliest and the latest moment that the start and the return of the receive allow. In
// between the message may be visible or not, and the model accepts both.
//
// A call that ends with ErrUnavailable, or whose process was killed, may take effect
// at any later time, or never: it stays open until the end of the history. A call that
// ends with ErrBadConn, or only with the end of its context, must have had no effect, and
// is not part of the history.
package linear
