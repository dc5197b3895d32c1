package cluster

import (
	"context"
	"errors"
	"net"
	"strings"

	"github.com/fridaymesh/friday/proxy"
)

// judge counts how an attempt ended, for the endpoint's statistics and for outlier
// detection. That the caller has left says nothing of the endpoint.
func (c *Cluster) judge(ctx context.Context, ep *proxy.Endpoint, resp *proxy.Response, err error) {
	m, ok := ep.Handler.(*member)
	if !ok {
		return // pinned by somebody who brought an endpoint along
	}
	if err == nil {
		status := resp.Header.StatusCode()
		if status < 500 {
			m.stats.success.Add(1)
		} else {
			m.stats.failed.Add(1)
		}
		if c.Config().Check != nil && has(resp, immediateFail) {
			c.failImmediately(m)
		}
		if c.outliers.config.Load() != nil {
			c.outliers.note(m, outcome{status: grpcStatus(resp, status)})
		}
		return
	}
	o, tells := failure(ctx, err)
	if !tells {
		return
	}
	m.stats.failed.Add(1)
	switch pe, ok := errors.AsType[*proxy.Error](err); {
	case ok && pe.Flag == proxy.FlagUpstreamConnection:
		m.stats.connectFailed.Add(1)
	case o.status == 504:
		m.stats.timeouts.Add(1)
	}
	c.outliers.note(m, o)
}

// has says whether an answer has a field, in whatever case.
func has(resp *proxy.Response, name string) bool {
	for k := range resp.Header.All() {
		if len(k) == len(name) && strings.EqualFold(string(k), name) {
			return true
		}
	}
	return false
}

// failure says what an attempt that failed stands for, or that it tells nothing.
func failure(ctx context.Context, err error) (o outcome, tells bool) {
	pe := proxy.AsError(ctx, err)
	switch pe.Flag { //nolint:exhaustive // the others are the caller's, or Friday's own
	case proxy.FlagUpstreamConnection, proxy.FlagUpstreamReset:
		o := outcome{status: 503, local: true, connected: pe.Flag == proxy.FlagUpstreamReset}
		if ne, ok := errors.AsType[net.Error](pe.Err); ok && ne.Timeout() {
			o.status = 504
		}
		return o, true
	case proxy.FlagTimeout:
		return outcome{status: 504, local: true, connected: true}, true
	case proxy.FlagUpstreamProtocol:
		return outcome{status: 502}, true
	}
	return outcome{}, false
}

// grpcStatus makes a status of HTTP of an answer that is all trailer: a gRPC server that
// fails at once.
func grpcStatus(resp *proxy.Response, status int) int {
	s := resp.Header.Peek("grpc-status")
	if len(s) == 0 || status != 200 {
		return status
	}
	switch string(s) {
	case "0", "1", "3", "5", "6", "7", "8", "9", "10", "11", "16":
		return status
	case "4":
		return 504
	case "14":
		return 503
	case "12":
		return 501
	}
	return 500
}
