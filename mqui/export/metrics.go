package export

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/portmq/mq"
)

// collector collects with each scrape.
type collector struct{ e *Exporter }

// The metrics. A figure that the provider does not know is left out.
var (
	up        = metric("up", "Whether the backend answers.", "source", "provider")
	duration  = metric("scrape_duration_seconds", "How long the backend took to count its queues.", "source")
	unread    = metric("scrape_error", "Whether at least one queue could not be read.", "source")
	messages  = metric("queue_messages", "Messages in the queue, by state.", "source", "queue", "state")
	archived  = metric("queue_archived_messages", "Messages in the archive: dead letters.", "source", "queue")
	lag       = metric("queue_lag_seconds", "How long the message that has been visible longest has waited. Delayed and leased ones do not count.", "source", "queue")
	oldest    = metric("queue_oldest_age_seconds", "Age of the oldest message since it was sent, whatever its state.", "source", "queue")
	sent      = metric("queue_sent_messages_total", "Messages ever put into the queue.", "source", "queue")
	done      = metric("queue_done_messages_total", "Messages that have left the queue: acked, archived, moved, popped or purged.", "source", "queue")
	paused    = metric("queue_paused", "Whether the queue is paused for all consumers.", "source", "queue")
	consumers = metric("queue_consumers", "Consumers that have reported lately.", "source", "queue")
	handlers  = metric("queue_running_handlers", "Running handlers, as consumers have reported.", "source", "queue")
	held      = metric("queue_held_messages", "Messages that consumers hold, as they have reported.", "source", "queue")
	longest   = metric("queue_longest_held_seconds", "How long the message that is held longest has been held, as consumers have reported.", "source", "queue")
)

func metric(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("mq_"+name, help, labels, nil)
}

// Describe describes all metrics.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		up, duration, unread, messages, archived, lag, oldest, sent, done, paused, consumers, handlers, held, longest,
	} {
		ch <- d
	}
}

// Collect asks all sources.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	for i, f := range c.e.all() {
		s := c.e.sources[i]
		gauge(ch, up, truth(f.up()), s.Name, s.Client.Provider().Name())
		gauge(ch, duration, f.took.Seconds(), s.Name)
		gauge(ch, unread, truth(f.err != nil), s.Name)
		for name, q := range f.queues {
			f.collect(ch, s.Name, name, q)
		}
	}
}

// collect sends the metrics of one queue.
func (f *figures) collect(ch chan<- prometheus.Metric, source, name string, q mq.Stats) {
	for _, m := range []struct {
		state string
		n     int64
	}{{"visible", q.Visible}, {"leased", q.Leased}, {"delayed", q.Delayed}, {"blocked", q.Blocked}} {
		if m.n >= 0 {
			gauge(ch, messages, float64(m.n), source, name, m.state)
		}
	}
	if q.Archived >= 0 {
		gauge(ch, archived, float64(q.Archived), source, name)
	}
	if q.Lag >= 0 {
		gauge(ch, lag, q.Lag.Seconds(), source, name)
	}
	if q.OldestAge >= 0 {
		gauge(ch, oldest, q.OldestAge.Seconds(), source, name)
	}
	if q.TotalSent >= 0 {
		counter(ch, sent, float64(q.TotalSent), source, name)
	}
	if n := doneOf(q); n >= 0 {
		counter(ch, done, float64(n), source, name)
	}
	if f.paused != nil {
		gauge(ch, paused, truth(f.paused[name]), source, name)
	}
	if f.consumers != nil {
		w := f.work(name)
		gauge(ch, consumers, float64(w.consumers), source, name)
		gauge(ch, handlers, float64(w.running), source, name)
		gauge(ch, held, float64(w.held), source, name)
		gauge(ch, longest, w.longest.Seconds(), source, name)
	}
}

// doneOf returns how many messages have left a queue, or -1.
func doneOf(q mq.Stats) int64 {
	if q.TotalSent < 0 || q.Total < 0 {
		return -1
	}
	return max(0, q.TotalSent-q.Total)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func gauge(ch chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, valid(labels)...)
}

func counter(ch chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, valid(labels)...)
}

// valid replaces what is not UTF-8, as JSON does. Prometheus takes no such label, and a
// panic in a collector ends the program.
func valid(labels []string) []string {
	for i, l := range labels {
		labels[i] = strings.ToValidUTF8(l, "\ufffd")
	}
	return labels
}
