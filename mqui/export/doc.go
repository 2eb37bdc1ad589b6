// Package export serves the figures of queues to programs: to Prometheus, to health
// checks, and as JSON to autoscalers.
//
//	e, err := export.New([]export.Source{{Name: "shop", Client: c}}, export.Options{})
//	http.Handle("/metrics", e)
//	http.Handle("/healthz", e)
//	http.Handle("/api/", e)
//
// Each request asks the backends, in one round trip where they can count all queues at
// once. Requests at the same time share an answer. A backend that does not answer within
// Options.Timeout is reported as down, and the others are not kept waiting.
//
// Nothing is written, and neither bodies nor headers are read.
package export
