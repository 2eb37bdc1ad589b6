// Package export serves metrics of queues to Prometheus, to health checks, and as JSON to
// autoscalers.
//
//	e, err := export.New([]export.Source{{Name: "shop", Client: c}}, export.Options{})
//	http.Handle("/metrics", e)
//	http.Handle("/healthz", e)
//	http.Handle("/api/", e)
//
// Each request makes three calls to each backend, for figures, pauses and consumers, or one
// call per queue for the figures if the backend cannot count all queues at once. Concurrent
// requests, and those within Options.MaxAge, share an answer. A backend that does not answer within
// Options.Timeout is reported as down, and the others are not kept waiting.
//
// Nothing is written, and neither bodies nor headers are read.
package export
