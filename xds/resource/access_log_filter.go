package resource

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"

	"github.com/fridaymesh/friday/proxy/format"
	"github.com/fridaymesh/friday/proxy/router"
)

// when reads which requests an access log or a mapper of local replies is for.
func (p *problems) when(path string, m *accesslogv3.AccessLogFilter) func(*format.Facts) bool {
	never := func(*format.Facts) bool { return false }
	switch spec := m.GetFilterSpecifier().(type) {
	case *accesslogv3.AccessLogFilter_StatusCodeFilter:
		c := spec.StatusCodeFilter.GetComparison()
		return func(f *format.Facts) bool { return holds(c, int64(f.Status)) }
	case *accesslogv3.AccessLogFilter_DurationFilter:
		c := spec.DurationFilter.GetComparison()
		return func(f *format.Facts) bool { return holds(c, int64(f.Duration/time.Millisecond)) }
	case *accesslogv3.AccessLogFilter_RuntimeFilter:
		share := perMillion(spec.RuntimeFilter.GetPercentSampled())
		return func(*format.Facts) bool { return rand.Uint32N(1_000_000) < share } // #nosec G404 -- a sample needs no secrecy
	case *accesslogv3.AccessLogFilter_AndFilter:
		all := p.whens(path+".and_filter", spec.AndFilter.GetFilters())
		return func(f *format.Facts) bool {
			return !slices.ContainsFunc(all, func(one func(*format.Facts) bool) bool { return !one(f) })
		}
	case *accesslogv3.AccessLogFilter_OrFilter:
		all := p.whens(path+".or_filter", spec.OrFilter.GetFilters())
		return func(f *format.Facts) bool {
			return slices.ContainsFunc(all, func(one func(*format.Facts) bool) bool { return one(f) })
		}
	case *accesslogv3.AccessLogFilter_HeaderFilter:
		h, err := router.NewHeaders([]router.HeaderMatch{p.header(path+".header_filter.header", spec.HeaderFilter.GetHeader())})
		if err != nil {
			p.addf(path+".header_filter.header", "%v", err)
			return never
		}
		return func(f *format.Facts) bool { return h.Match(f.Request.Header) }
	case *accesslogv3.AccessLogFilter_ResponseFlagFilter:
		flags := spec.ResponseFlagFilter.GetFlags()
		return func(f *format.Facts) bool {
			return f.Err != nil && (len(flags) == 0 || slices.Contains(flags, string(f.Err.Flag)))
		}
	case *accesslogv3.AccessLogFilter_NotHealthCheckFilter:
		return func(f *format.Facts) bool { return !f.Request.HealthCheck }
	}
	return never // refused already
}

func (p *problems) whens(path string, all []*accesslogv3.AccessLogFilter) (out []func(*format.Facts) bool) {
	for i, m := range all {
		out = append(out, p.when(path+".filters["+strconv.Itoa(i)+"]", m))
	}
	return out
}

// holds compares with the default of a runtime value.
func holds(c *accesslogv3.ComparisonFilter, n int64) bool {
	value := int64(c.GetValue().GetDefaultValue())
	switch c.GetOp() {
	case accesslogv3.ComparisonFilter_GE:
		return n >= value
	case accesslogv3.ComparisonFilter_LE:
		return n <= value
	case accesslogv3.ComparisonFilter_NE:
		return n != value
	default:
		return n == value
	}
}
