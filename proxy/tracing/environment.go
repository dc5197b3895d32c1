package tracing

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// FromEnvironment makes what the environment asks for, nil where it asks for nothing: the
// variables are OpenTelemetry's
// (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).
// Tracing is on where OTEL_EXPORTER_OTLP_ENDPOINT, or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
// is set, or OTEL_TRACES_EXPORTER is otlp. The error names the variable.
func FromEnvironment(ctx context.Context, version string, log *zap.Logger) (*Tracer, error) {
	if !wanted() {
		return nil, nil
	}
	switch v := os.Getenv("OTEL_TRACES_EXPORTER"); v {
	case "", "otlp":
	default:
		return nil, fmt.Errorf("OTEL_TRACES_EXPORTER: %q: must be otlp or none", v)
	}
	for name := range strings.SplitSeq(os.Getenv("OTEL_PROPAGATORS"), ",") {
		switch name = strings.TrimSpace(name); name {
		case "", "tracecontext", "baggage":
		default:
			return nil, fmt.Errorf("OTEL_PROPAGATORS: %q: must be tracecontext; other headers pass as they come", name)
		}
	}
	sampler, err := samplerOf(os.Getenv("OTEL_TRACES_SAMPLER"), os.Getenv("OTEL_TRACES_SAMPLER_ARG"))
	if err != nil {
		return nil, err
	}
	client, err := clientOf(first("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"))
	if err != nil {
		return nil, err
	}
	of, err := describe("", version)
	if err != nil {
		return nil, err
	}
	logErrors(log)
	exporter, err := otlptrace.New(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_ENDPOINT: %w", err)
	}
	return New(exporter, of, sampler), nil
}

func wanted() bool {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return false
	}
	switch os.Getenv("OTEL_TRACES_EXPORTER") {
	case "none":
		return false
	case "":
		return first("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT") != ""
	}
	return true
}

// first is the value of the first variable that has one.
func first(names ...string) string {
	for _, name := range names {
		if v := os.Getenv(name); v != "" {
			return v
		}
	}
	return ""
}

// clientOf reads the rest of OTEL_EXPORTER_OTLP_… by itself.
func clientOf(protocol string) (otlptrace.Client, error) {
	switch protocol {
	case "", "http/protobuf":
		return otlptracehttp.NewClient(), nil
	case "grpc":
		return otlptracegrpc.NewClient(), nil
	}
	return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL: %q: must be http/protobuf or grpc", protocol)
}

// samplerOf reads OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG.
func samplerOf(name, arg string) (sdk.Sampler, error) {
	ratio := 1.0
	if strings.Contains(name, "traceidratio") && arg != "" {
		var err error
		if ratio, err = strconv.ParseFloat(arg, 64); err != nil || ratio < 0 || ratio > 1 {
			return nil, fmt.Errorf("OTEL_TRACES_SAMPLER_ARG: %q: must be a number from 0 to 1", arg)
		}
	}
	switch name {
	case "", "parentbased_always_on":
		return sdk.ParentBased(sdk.AlwaysSample()), nil
	case "parentbased_always_off":
		return sdk.ParentBased(sdk.NeverSample()), nil
	case "parentbased_traceidratio":
		return sdk.ParentBased(sdk.TraceIDRatioBased(ratio)), nil
	case "always_on":
		return sdk.AlwaysSample(), nil
	case "always_off":
		return sdk.NeverSample(), nil
	case "traceidratio":
		return sdk.TraceIDRatioBased(ratio), nil
	}
	return nil, fmt.Errorf("OTEL_TRACES_SAMPLER: %q: must be always_on, always_off, traceidratio, or one of these after parentbased_", name)
}

// describe is who sends the spans: service where it is not empty, then what the environment
// says (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES), then friday.
func describe(service, version string) (of *resource.Resource, err error) {
	own := []attribute.KeyValue{attribute.String("service.name", "friday")}
	if version != "" {
		own = append(own, attribute.String("service.version", version))
	}
	if host, err := os.Hostname(); err == nil {
		own = append(own, attribute.String("host.name", host))
	}
	of = resource.Default()
	parts := []*resource.Resource{resource.NewSchemaless(own...), resource.Environment()}
	if service != "" {
		parts = append(parts, resource.NewSchemaless(attribute.String("service.name", service)))
	}
	for _, part := range parts {
		if of, err = resource.Merge(of, part); err != nil {
			return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
		}
	}
	return of, nil
}

// errorsEvery and errorsAtOnce bound the log.
const (
	errorsEvery  = 10 * time.Second
	errorsAtOnce = 2
)

// logErrors has the SDK's errors logged, a few in each ten seconds.
func logErrors(log *zap.Logger) {
	sampled := log.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(c, errorsEvery, errorsAtOnce, 0)
	}))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		sampled.Warn("spans are lost: the collector cannot be reached, or refuses them", zap.Error(err))
	}))
}
