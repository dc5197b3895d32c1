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

// pinned puts a pin before chain where its cluster needs one.
func (cc *compiler) pinned(chain, last proxy.Handler, r *Route, name string) proxy.Handler {
	cfg, cl := cc.change.configs[name], cc.change.clusters[name]
	switch {
	case cl == nil, chain == last, !cfg.PicksByRequest():
		return chain
	case len(r.Forward.Hash) == 0 && cfg.Discovery != cluster.OriginalDestination:
		return chain // any endpoint will do
	}
	return &pin{cl, r.Forward.Hash, chain}
}

func (p *pin) Handle(ctx context.Context, req *proxy.Request) (*proxy.Response, error) {
	if req.Endpoint == nil {
		if len(p.policies) > 0 {
			req.Hash, req.Hashed = action.Hash(p.policies, req)
		}
		// Where there is none, the cluster says so once the filters have run.
		req.Endpoint, _ = p.cluster.Pick(ctx, req)
	}
	return p.next.Handle(ctx, req)
}
