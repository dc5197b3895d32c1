package config

import (
	"io"

	"github.com/fridaymesh/friday/proxy/tracing"
)

// tracer is where the spans of a filter chain go; nil: nowhere. One that stands behind a
// cluster is kept for as long as a listener names it.
func (cc *compiler) tracer() (*tracing.Tracer, error) {
	c, d := cc.http.Tracing, &cc.change.b.defaults
	switch {
	case c == nil || c.Collector == nil:
		return d.Tracer, nil
	case d.Trial:
		return nil, nil
	}
	kept, err := cc.keep("collector "+c.Collector.ID, func() (io.Closer, error) {
		return tracing.NewRemote(c.Collector, d.Version, cc.env.Log)
	})
	if err != nil {
		return nil, err
	}
	r := kept.(*tracing.Remote) //nolint:forcetypeassert // just made, or made here before
	// A cluster that is not there is one that cannot be reached: it is no reason to refuse.
	if cl, ok := cc.cluster(c.Collector.Cluster); ok {
		r.Use(cl)
	}
	return r.Tracer, nil
}
