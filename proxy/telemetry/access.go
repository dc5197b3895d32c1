package telemetry

import (
	"bytes"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/fridaymesh/friday/proxy"
)

// Exchange is what is known of a request once it has been answered.
type Exchange struct {
	Request *proxy.Request
	Status  int
	// Err is set where Friday answered itself, or could not finish.
	Err *proxy.Error
	// Sent is the bytes of the answer's body that were written.
	Sent int64
	// Duration is from the head read to the last byte written.
	Duration time.Duration
}

// Recorder counts and logs answered requests. It is safe for concurrent use.
type Recorder struct {
	metrics *Metrics
	all     *zap.Logger // every line
	sampled *zap.Logger // a hundred equal lines a second, then each hundredth

	mu     sync.RWMutex
	routes map[routeKey]*routeMetrics
}

type routeKey struct{ route, cluster, protocol string }

type routeMetrics struct {
	seconds prometheus.Observer

	mu    sync.RWMutex
	codes map[int]prometheus.Counter
}

// NewRecorder writes the access log to access.
func NewRecorder(m *Metrics, access *zap.Logger) *Recorder {
	return &Recorder{
		metrics: m,
		all:     access,
		sampled: access.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
			return zapcore.NewSamplerWithOptions(c, time.Second, 100, 100)
		})),
		routes: make(map[routeKey]*routeMetrics),
	}
}

// Count records the exchange in the metrics.
func (r *Recorder) Count(x *Exchange) {
	rm := r.route(routeKey{x.Request.Route, x.Request.Cluster, x.Request.Protocol})
	rm.observe(x)
	r.counter(rm, x).Inc()
	if x.Err != nil {
		r.metrics.Failures.WithLabelValues(x.Request.Cluster, string(x.Err.Flag)).Inc()
	}
}

// observe counts the duration, with the trace as an example of it where there is one.
func (rm *routeMetrics) observe(x *Exchange) {
	if id := x.Request.Span.TraceID(); id != "" {
		if o, ok := rm.seconds.(prometheus.ExemplarObserver); ok {
			o.ObserveWithExemplar(x.Duration.Seconds(), prometheus.Labels{"trace_id": id})
			return
		}
	}
	rm.seconds.Observe(x.Duration.Seconds())
}

func (r *Recorder) route(k routeKey) *routeMetrics {
	r.mu.RLock()
	rm := r.routes[k]
	r.mu.RUnlock()
	if rm != nil {
		return rm
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if rm = r.routes[k]; rm == nil {
		rm = &routeMetrics{
			seconds: r.metrics.RequestSeconds.WithLabelValues(k.route, k.cluster),
			codes:   make(map[int]prometheus.Counter),
		}
		r.routes[k] = rm
	}
	return rm
}

func (r *Recorder) counter(rm *routeMetrics, x *Exchange) prometheus.Counter {
	rm.mu.RLock()
	c := rm.codes[x.Status]
	rm.mu.RUnlock()
	if c != nil {
		return c
	}
	c = r.metrics.Requests.WithLabelValues(x.Request.Route, x.Request.Cluster, strconv.Itoa(x.Status), x.Request.Protocol)
	rm.mu.Lock()
	defer rm.mu.Unlock()
	rm.codes[x.Status] = c
	return c
}

// Log writes the exchange's line of the access log: always, or, where sample is
// set, so that a flood of equal failures does not flood the log.
func (r *Recorder) Log(x *Exchange, sample bool) {
	log, level, text := r.all, zapcore.InfoLevel, "request"
	if sample {
		log = r.sampled
		// Equal text is what the sampler goes by.
		text = "request " + strconv.Itoa(x.Status)
		if x.Err != nil {
			text += " " + string(x.Err.Flag)
		}
	}
	if x.Status >= 500 {
		level = zapcore.WarnLevel
	}
	entry := log.Check(level, text)
	if entry == nil {
		return
	}
	req := x.Request
	fields := make([]zap.Field, 0, 21)
	fields = append(fields,
		zap.ByteString(fieldMethod, req.Header.Method()),
		zap.ByteString(fieldPath, pathOnly(req.Header.RequestURI())),
		zap.ByteString(fieldAuthority, req.Header.Host()),
		zap.String(fieldProtocol, req.Protocol),
		zap.Int(fieldStatus, x.Status),
		zap.String(FieldRoute, req.Route),
		zap.String(FieldCluster, req.Cluster),
		zap.Int64(fieldReceived, max(req.Body.Len(), 0)),
		zap.Int64(fieldSent, x.Sent),
		zap.Float64(fieldDuration, float64(x.Duration.Microseconds())/1000),
		zap.Stringer(fieldRemote, req.Remote),
		zap.String(fieldUpstream, req.Trace.Upstream),
		zap.Int(fieldAttempts, req.Trace.Attempts),
	)
	if x.Err != nil {
		fields = append(fields, zap.String(fieldFlag, string(x.Err.Flag)), zap.String(fieldDetail, x.Err.Error()))
	}
	if req.Trace.Model != "" {
		fields = append(fields, zap.String(FieldModel, req.Trace.Model))
	}
	if req.Trace.BatchSize > 0 {
		fields = append(fields, zap.Int(fieldBatch, req.Trace.BatchSize),
			zap.Float64(fieldQueued, float64(req.Trace.Queued.Microseconds())/1000))
	}
	if id, ok := proxy.FieldValue(req.Header, "x-request-id"); ok && id != "" {
		fields = append(fields, zap.String(fieldRequestID, id))
	}
	if id := req.Span.TraceID(); id != "" {
		fields = append(fields, zap.String(fieldTraceID, id))
	}
	entry.Write(fields...)
}

// pathOnly leaves the query out: some clients put their key there.
func pathOnly(uri []byte) []byte {
	path, _, _ := bytes.Cut(uri, []byte{'?'})
	return path
}
