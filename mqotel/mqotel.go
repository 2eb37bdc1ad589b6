package mqotel

import (
	"fmt"
	"sync"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// scope names the instrumentation in what is exported.
const scope = "github.com/portmq/mq/mqotel"

// Config configures a Telemetry. The zero value is the default.
type Config struct {
	// TracerProvider makes the spans. Defaults to otel.GetTracerProvider().
	TracerProvider trace.TracerProvider

	// MeterProvider makes the instruments. Defaults to
	// otel.GetMeterProvider().
	MeterProvider metric.MeterProvider

	// Propagator writes and reads the headers. Defaults to W3C Trace Context
	// and Baggage. Who sends to or receives from a party that should not see
	// its baggage uses propagation.TraceContext{} alone.
	Propagator propagation.TextMapPropagator

	// CreateSpans gives each message of a batch a span of its own, instead of
	// the one of the send for all.
	CreateSpans bool

	// LinkOnly makes each process span the root of a trace, which links to
	// the sender's instead of being a part of it.
	LinkOnly bool
}

func (cfg Config) withDefaults() Config {
	if cfg.TracerProvider == nil {
		cfg.TracerProvider = otel.GetTracerProvider()
	}
	if cfg.MeterProvider == nil {
		cfg.MeterProvider = otel.GetMeterProvider()
	}
	if cfg.Propagator == nil {
		cfg.Propagator = propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
	}
	return cfg
}

// Telemetry traces and measures one client and its consumers. It is safe for
// concurrent use. Several clients may have one each of the same Config: they
// share the instruments.
type Telemetry struct {
	cfg    Config
	tracer trace.Tracer
	meter  metric.Meter
	inst   instruments
	sets   sync.Map // labels to metric.MeasurementOption
	leases leases
}

// New makes a Telemetry. It fails if the MeterProvider refuses an instrument.
func New(cfg Config) (*Telemetry, error) {
	cfg = cfg.withDefaults()
	t := &Telemetry{
		cfg:    cfg,
		tracer: cfg.TracerProvider.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL)),
		meter:  cfg.MeterProvider.Meter(scope, metric.WithSchemaURL(semconv.SchemaURL)),
	}
	if err := t.inst.make(t.meter); err != nil {
		return nil, fmt.Errorf("mqotel: %w", err)
	}
	return t, nil
}
