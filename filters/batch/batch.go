package batch

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fridaymesh/friday/filters/batch/schedule"
	"github.com/fridaymesh/friday/filters/inference"
	"github.com/fridaymesh/friday/proxy"
	batchv1 "github.com/fridaymesh/friday/xds/api/friday/filters/http/batch/v1"
	"github.com/fridaymesh/friday/xds/api/settings"
)

const (
	// Name is the filter's name in a chain.
	Name = "friday.filters.http.batch"
	// TypeURL is the type of its configuration.
	TypeURL = "type.googleapis.com/friday.filters.http.batch.v1.Batch"
)

// maxCallBytes is the largest request body that is looked into; a larger one
// passes untouched.
const maxCallBytes = 16 << 20

// Factory declares the filter.
type Factory struct{}

var _ proxy.Factory = Factory{}

// TypeURL is [TypeURL].
func (Factory) TypeURL() string { return TypeURL }

// Parse reads a configuration of [TypeURL] into a [*Config]; a nil one is one with nothing
// set. Errors name the field and the value.
func (Factory) Parse(config *anypb.Any) (proxy.FilterConfig, error) {
	return settings.Parse(config, parse)
}

// Build makes the filter of one route's configuration. All of them share one
// state.
func (Factory) Build(config proxy.FilterConfig, env proxy.Env) (proxy.Filter, error) {
	c, ok := config.(*Config)
	if !ok {
		return nil, fmt.Errorf("%s: a configuration of type %T", Name, config)
	}
	s, err := proxy.Kept(env, Name, func() (*state, error) { return newState(env), nil })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", Name, err)
	}
	return &filter{config: c, state: s, picker: env.Picker, names: newHeaderSet(c.GroupByHeaders)}, nil
}

// filter is one route's batcher. What changes is in the state, and, that requests need
// not be looked into for it, in bypasses.
type filter struct {
	config *Config
	state  *state
	picker func(cluster string) (proxy.Picker, bool)
	names  headerSet

	bypasses bypasses
}

var _ proxy.Filter = (*filter)(nil)

// Handle sends req alone or with others. What filters/inference does not
// understand passes untouched.
func (f *filter) Handle(ctx context.Context, req *proxy.Request, next proxy.Handler) (*proxy.Response, error) {
	if f.config.Disabled {
		return next.Handle(ctx, req)
	}
	path := f.bypasses.find(req)
	if path != nil {
		if resp, passed, err := path.pass(ctx, req, next); passed {
			return resp, err
		}
	}
	call, err := inference.Of(req, maxCallBytes)
	if err != nil {
		return nil, fmt.Errorf("reading the request: %w", err)
	}
	if call == nil {
		return next.Handle(ctx, req)
	}
	req.Trace.Model = call.Model
	if !f.wanted(call) {
		return next.Handle(ctx, req)
	}
	h := f.read(req, call)
	if h.bound {
		return next.Handle(ctx, req)
	}
	e := f.state.newEntry(call, req, next)
	e.picker, _ = f.picker(req.Cluster)
	e.debug = h.debug
	resp, err := f.serve(ctx, e, h.key)
	if err == nil && h.debug {
		annotate(resp, req)
	}
	return resp, err
}

// wanted says whether the configuration lets call be batched.
func (f *filter) wanted(call *inference.Call) bool {
	if f.config.Usage == batchv1.Batch_BYPASS && call.Usage {
		return false
	}
	if len(f.config.Protocols) == 0 {
		return !call.OptIn
	}
	return slices.Contains(f.config.Protocols, call.Protocol)
}

// serve puts e into its group and sees it through.
func (f *filter) serve(ctx context.Context, e *entry, key groupKey) (*proxy.Response, error) {
	req := e.req
	for {
		g := f.state.group(key, f.config, e)
		g.askLimits(e)
		if g.model.unbatchable(e.arrived) {
			g.dispatches[schedule.Unbatchable].Inc()
			return e.next.Handle(ctx, e.req)
		}
		var resp *proxy.Response
		var err error
		switch {
		case g.refuses(e):
			// More than the server takes at once: what it says to that is its own to say.
			e.Solo, e.Why = true, schedule.Oversize
			resp, err = g.serve(ctx, e, false)
		case e.call.Items <= f.config.MaxBatchSize:
			resp, err = g.serve(ctx, e, false)
		case f.config.Oversize == batchv1.Batch_PASS_THROUGH:
			e.Solo, e.Why = true, schedule.Oversize
			resp, err = g.serve(ctx, e, false)
		default:
			resp, err = g.serveInPieces(ctx, e)
		}
		f.bypasses.saw(req, g.model, f.config.MaxInFlight == 0)
		if err != errDropped { //nolint:errorlint // a mark of this package, never wrapped
			return resp, err
		}
	}
}

// annotate tells a caller who asked with x-friday-debug what became of its request.
func annotate(resp *proxy.Response, req *proxy.Request) {
	resp.Header.Set("x-friday-batch-size", fmt.Sprint(req.Trace.BatchSize))
	resp.Header.Set("x-friday-queue-ms", fmt.Sprintf("%.3f", float64(req.Trace.Queued)/float64(time.Millisecond)))
}
