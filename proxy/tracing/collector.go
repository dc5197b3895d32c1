package tracing

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/fridaymesh/friday/proxy"
)

// Collector is one behind a cluster, which takes OTLP
// (https://opentelemetry.io/docs/specs/otlp/) over HTTP or gRPC.
type Collector struct {
	// ID is equal for equal configurations.
	ID string
	// Service is the name under which spans are sent; empty: what the environment says, or
	// friday.
	Service string
	Cluster string
	// GRPC says which of the two; Path is for HTTP.
	GRPC       bool
	Host, Path string
	// Headers are added, each a name and a value.
	Headers [][2]string
	// Timeout bounds one sending. Default 10 s.
	Timeout time.Duration
}

// exportPath is the method's, over gRPC.
const exportPath = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

// Remote is a Tracer whose collector stands behind a cluster.
type Remote struct {
	*Tracer

	collector *Collector
	log       *zap.Logger

	// Guarded by mu.
	mu     sync.Mutex
	picker proxy.Picker // of the snapshot in force
	next   proxy.Picker // of the one that is being built
}

var _ otlptrace.Client = (*Remote)(nil)

// NewRemote makes a Remote, which needs Use and InForce before it can send.
func NewRemote(c *Collector, version string, log *zap.Logger) (*Remote, error) {
	of, err := describe(c.Service, version)
	if err != nil {
		return nil, err
	}
	logErrors(log)
	r := &Remote{collector: c, log: log}
	r.Tracer = New(otlptrace.NewUnstarted(r), of, sdk.ParentBased(sdk.AlwaysSample()))
	return r, nil
}

// Use has spans sent by way of picker once the snapshot is in force.
func (r *Remote) Use(picker proxy.Picker) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next = picker
}

// InForce says that the snapshot is.
func (r *Remote) InForce() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.picker = r.next
}

// Start does nothing: connections are the cluster's.
func (r *Remote) Start(context.Context) error { return nil }

// Stop does nothing.
func (r *Remote) Stop(context.Context) error { return nil }

// tries is how often a batch is sent; the pauses between are a second, and two.
const tries = 3

// UploadTraces sends spans, and where that fails for a while again.
func (r *Remote) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	// It is written as an ExportTraceServiceRequest is.
	text, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return err
	}
	for n := 1; ; n++ {
		again, err := r.send(ctx, text)
		if err == nil || !again || n == tries {
			return err
		}
		pause := time.NewTimer(time.Duration(n) * time.Second)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return errors.Join(err, ctx.Err())
		}
	}
}

// maxCollectorAnswer is how much is read of an answer that nobody needs.
const maxCollectorAnswer = 64 << 10

// send sends once; again says that it may go better later.
func (r *Remote) send(ctx context.Context, text []byte) (again bool, err error) {
	defer func() {
		if v := recover(); v != nil {
			r.log.Error("panic while sending spans", zap.Any("panic", v), zap.ByteString("stack", debug.Stack()))
			again, err = false, fmt.Errorf("panic: %v", v)
		}
	}()
	limit := r.collector.Timeout
	if limit <= 0 {
		limit = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r.mu.Lock()
	picker := r.picker
	r.mu.Unlock()
	if picker == nil {
		return true, fmt.Errorf("cluster %q: not known", r.collector.Cluster)
	}
	req := r.request(text)
	endpoint, err := picker.Pick(ctx, req)
	if err != nil {
		return true, err
	}
	req.Endpoint = endpoint
	resp, err := endpoint.Handler.Handle(ctx, req)
	if err != nil {
		return true, err
	}
	defer resp.Close() //nolint:errcheck // read to the end, or given up
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxCollectorAnswer))
	if err != nil {
		return true, fmt.Errorf("reading the collector's answer: %w", err)
	}
	return judge(resp, answer, r.collector.GRPC)
}

// request makes the request that carries a message.
func (r *Remote) request(text []byte) *proxy.Request {
	c := r.collector
	h := new(fasthttp.RequestHeader)
	h.DisableNormalizing()
	h.SetNoDefaultContentType(true)
	h.SetMethod(http.MethodPost)
	h.SetHost(c.Host)
	h.Set("user-agent", "friday")
	req := &proxy.Request{Header: h, Protocol: "http1", Start: time.Now(), Cluster: c.Cluster}
	var body []byte
	if c.GRPC {
		req.Protocol = "grpc"
		h.SetRequestURI(exportPath)
		h.SetContentType("application/grpc")
		h.Set("te", "trailers")
		body = append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(text))), text...) // #nosec G115 -- the SDK bounds a batch
	} else {
		h.SetRequestURI(c.Path)
		h.SetContentType("application/x-protobuf")
		h.Set("content-encoding", "gzip")
		body = compressed(text)
	}
	for _, f := range c.Headers {
		h.Add(f[0], f[1])
	}
	h.SetContentLength(len(body))
	req.Body = proxy.NewBytesBody(body)
	return req
}

func compressed(text []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(text) // to memory
	_ = w.Close()
	return b.Bytes()
}

// judge says what an answer means.
func judge(resp *proxy.Response, answer []byte, grpc bool) (again bool, err error) {
	status := resp.Header.StatusCode()
	switch status {
	case http.StatusOK:
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true, fmt.Errorf("the collector answers %d", status)
	default:
		return false, fmt.Errorf("the collector answers %d: %.200q", status, answer)
	}
	if !grpc {
		return false, nil
	}
	switch code := resp.GRPCStatus(); code {
	case "0":
		return false, nil
	case "1", "4", "8", "10", "11", "14", "15": // those that OTLP has for another try
		return true, fmt.Errorf("the collector answers grpc-status %s", code)
	default:
		return false, fmt.Errorf("the collector answers grpc-status %q", code)
	}
}
