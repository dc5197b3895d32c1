package config

import (
	"context"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/action"
	"github.com/fridaymesh/friday/proxy/cluster"
)

// pin chooses the endpoint before the filters run, where it depends on the request: so
// what a filter puts together goes to one endpoint, and to the right one.
type pin struct {
	cluster  *cluster.Cluster
	policies []action.HashPolicy
	next     proxy.Handler
}

// pinned puts a pin before chain. Whether the cluster needs it may change without the
// route's being compiled again.
func (cc *compiler) pinned(chain proxy.Handler, r *Route, wc *WeightedCluster) proxy.Handler {
	if wc.Header != "" || len(cc.http.Filters) == 0 {
		return chain
	}
	cl, ok := cc.cluster(wc.Name)
	if !ok {
		return chain
	}
	return &pin{cl, r.Forward.Hash, chain}
}

func (p *pin) Handle(ctx context.Context, req *proxy.Request) (*proxy.Response, error) {
	if cfg := p.cluster.Config(); cfg.PicksByRequest() && req.Endpoint == nil {
		if len(p.policies) > 0 {
			req.Hash, req.Hashed = action.Hash(p.policies, req)
		}
		if req.Hashed || cfg.Discovery == cluster.OriginalDestination { // else any will do
			// Where there is none, the cluster says so once the filters have run.
			req.Endpoint, _ = p.cluster.Pick(ctx, req)
		}
	}
	return p.next.Handle(ctx, req)
}
