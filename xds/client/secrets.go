package client

import (
	"fmt"
	"maps"
	"slices"

	"github.com/fridaymesh/friday/proxy/tlscontext"
	"github.com/fridaymesh/friday/xds/resource"
)

// secretKey is what a secret is asked for by.
func secretKey(r tlscontext.Ref) key { return key{sds, r.Source.Cluster, r.Name} }

// missing says that one of the secrets is waited for.
func (s *state) missing(needs []resource.Need) bool {
	return slices.ContainsFunc(needs, func(n resource.Need) bool {
		k := secretKey(n.Ref)
		return !n.Source.Static && s.held(k) == nil && !s.without[k]
	})
}

// settleSecrets puts secrets in force: those that are asked for and there, and
// those that who is in force refers to, until it has been replaced.
func (s *state) settleSecrets() {
	for p, names := range s.lists {
		if p.kind != sds {
			continue
		}
		for _, name := range names {
			if i := s.held(key{sds, p.source, name}); i != nil {
				s.secrets[tlscontext.Ref{Name: name, Source: tlscontext.Source{Cluster: p.source}}] = i
			}
		}
	}
}

// dropSecrets lets go of what nobody refers to.
func (s *state) dropSecrets() {
	if len(s.secrets) == 0 {
		return
	}
	used := map[tlscontext.Ref]bool{}
	use := func(needs []resource.Need) {
		for _, n := range needs {
			used[n.Ref] = true
		}
	}
	for _, c := range s.clusters {
		use(c.cluster().Secrets)
	}
	for _, l := range s.listeners {
		use(l.listener().Secrets)
	}
	maps.DeleteFunc(s.secrets, func(r tlscontext.Ref, _ *item) bool {
		return !used[r] && !s.asksFor(sds, r.Source.Cluster, r.Name)
	})
}

// strange is the error of a resource whose secrets come from a server that the
// bootstrap does not name.
func (s *state) strange(k kind, name string, needs []resource.Need) error {
	for _, n := range needs {
		switch server := n.Source.Cluster; {
		case n.Source.Static && s.static.Secrets[n.Ref] == nil:
			return fmt.Errorf("%s %q: secret %q: not one of static_resources.secrets", k.noun(), name, n.Name)
		case server != "" && !s.reachable[server]:
			return fmt.Errorf("%s %q: secret %q: sds_config.api_config_source.grpc_services[0].envoy_grpc.cluster_name: %q: not one of the bootstrap's static clusters that speak HTTP/2", k.noun(), name, n.Name, server)
		}
	}
	return nil
}
