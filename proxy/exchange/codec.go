package exchange

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

// Options are what a codec needs.
type Options struct {
	// Listener returns what is in force; it is asked once for each request.
	Listener func() *config.Active
	Recorder *telemetry.Recorder
	Metrics  *telemetry.Metrics
	Log      *zap.Logger
}

// Codec is what the exchanges of one listener share. A codec embeds it.
type Codec struct {
	// Set once.
	Listener func() *config.Active
	Log      *zap.Logger
	recorder *telemetry.Recorder
	base     context.Context //nolint:containedctx // every request's context descends from it
	cancel   context.CancelCauseFunc
	active   prometheus.Gauge

	drain, retired atomic.Bool
}

// NewCodec makes a Codec.
func NewCodec(o Options) *Codec {
	name := o.Listener().Name
	c := &Codec{
		Listener: o.Listener,
		Log:      o.Log.With(zap.String(telemetry.FieldListener, name)),
		recorder: o.Recorder,
		active:   o.Metrics.DownstreamActive.WithLabelValues(name),
	}
	c.base, c.cancel = context.WithCancelCause(context.Background())
	return c
}

// Retire has every connection closed after its next answer. Nothing is refused:
// another codec takes the new connections.
func (c *Codec) Retire() { c.retired.Store(true) }

// Refuse says that no connections are taken any more, and that every answer closes
// its connection.
func (c *Codec) Refuse() { c.drain.Store(true) }

// Refusing says that Refuse was called.
func (c *Codec) Refusing() bool { return c.drain.Load() }

// Closing says that an answer closes its connection.
func (c *Codec) Closing() bool { return c.drain.Load() || c.retired.Load() }

// Abort ends every request: those that wait for an answer get 503, the others
// are cut.
func (c *Codec) Abort() { c.cancel(proxy.ErrDraining) }

// Record counts and logs x, which may never have become a request.
func (c *Codec) Record(l *config.Active, x *telemetry.Exchange) {
	c.recorder.Count(x)
	switch l.HTTP.AccessLog {
	case config.LogAll:
		c.recorder.Log(x, false)
	case config.LogErrors:
		if x.Err != nil || x.Status >= 500 {
			c.recorder.Log(x, true)
		}
	case config.LogNone:
	}
}

// TooLarge is the error of a request's body that is over the limit, in bytes.
func TooLarge(limit int64) *proxy.Error {
	return &proxy.Error{
		Status: fasthttp.StatusRequestEntityTooLarge, Flag: proxy.FlagDownstreamTooLarge,
		Message: "Payload Too Large", Err: fmt.Errorf("request body over the limit of %d bytes", limit),
	}
}
