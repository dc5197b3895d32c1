package client

import (
	"errors"
	"fmt"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/fridaymesh/friday/xds/resource"
)

// update is a response of either variant of the protocol.
type update struct {
	kind kind
	// version is version_info, in delta system_version_info, which is there for
	// people only.
	version, nonce string
	// full says that the resources are all there are: state of the world.
	full      bool
	resources []received
	// removed are the names that are not there, or not any more.
	removed []string
	// from is the control plane's name for itself, target ours for it.
	from, target string
}

// received is one resource of an update.
type received struct {
	name, version string
	// raw is nil in a heartbeat, which says that the resource is as it was and may
	// be kept for another ttl.
	raw *anypb.Any
	ttl time.Duration
	// err is what is wrong with the envelope.
	err error
}

// errName says that an envelope and what is in it differ.
var errName = errors.New("the envelope has another name")

// ofWorld reads a response of the state of the world.
func ofWorld(k kind, resp *discoveryv3.DiscoveryResponse) *update {
	u := &update{
		kind: k, version: resp.GetVersionInfo(), nonce: resp.GetNonce(), full: true,
		from: resp.GetControlPlane().GetIdentifier(), resources: make([]received, 0, len(resp.GetResources())),
	}
	for _, raw := range resp.GetResources() {
		r := received{raw: raw}
		if raw.MessageName() == "envoy.service.discovery.v3.Resource" {
			m := new(discoveryv3.Resource)
			if err := proto.Unmarshal(raw.GetValue(), m); err != nil {
				u.resources = append(u.resources, received{raw: raw, err: errors.New("not a envoy.service.discovery.v3.Resource: cannot be decoded")})
				continue
			}
			r = envelope(m)
		}
		if r.name == "" && r.raw.GetTypeUrl() == k.typeURL() { // of another type it could be any of them
			r.name = resource.Name(r.raw)
		}
		r.version = u.version
		u.resources = append(u.resources, r)
	}
	return u
}

// ofDelta reads a response of the incremental variant.
func ofDelta(k kind, resp *discoveryv3.DeltaDiscoveryResponse) *update {
	u := &update{
		kind: k, version: resp.GetSystemVersionInfo(), nonce: resp.GetNonce(),
		removed: resp.GetRemovedResources(), from: resp.GetControlPlane().GetIdentifier(),
		resources: make([]received, 0, len(resp.GetResources())),
	}
	for _, name := range resp.GetRemovedResourceNames() {
		u.removed = append(u.removed, name.GetName())
	}
	for _, m := range resp.GetResources() {
		r := envelope(m)
		if r.name == "" {
			r.name = resource.Name(r.raw)
		}
		u.resources = append(u.resources, r)
	}
	return u
}

func envelope(m *discoveryv3.Resource) received {
	r := received{name: m.GetName(), version: m.GetVersion(), raw: m.GetResource()}
	if m.GetResourceName() != nil {
		r.name = m.GetResourceName().GetName()
	}
	r.ttl, r.err = lifetime(m.GetTtl())
	if inner := resource.Name(r.raw); r.err == nil && r.name != "" && inner != "" && inner != r.name {
		r.err = fmt.Errorf("%q: %w: %q", inner, errName, r.name)
	}
	return r
}

func lifetime(d *durationpb.Duration) (time.Duration, error) {
	if d == nil {
		return 0, nil
	}
	if d.CheckValid() != nil || d.AsDuration() <= 0 {
		return 0, errors.New("ttl: must be positive")
	}
	return min(d.AsDuration(), resource.Unlimited), nil
}

// over is u, and what of older it does not name; u itself where it is full.
func (u *update) over(older *update) *update {
	if older == nil || u.full {
		return u
	}
	out := *u
	if rest := (&update{}).after(older, u); rest != nil {
		out.resources = append(rest.resources, u.resources...)
		out.removed = append(rest.removed, u.removed...)
	}
	return &out
}

// after fills u with what of older newer does not name; nil: there is nothing.
func (u *update) after(older, newer *update) *update {
	named := make(map[string]bool, len(newer.resources)+len(newer.removed))
	for _, r := range newer.resources {
		named[r.name] = true
	}
	for _, name := range newer.removed {
		named[name] = true
	}
	for _, r := range older.resources {
		if !named[r.name] {
			u.resources = append(u.resources, r)
		}
	}
	for _, name := range older.removed {
		if !named[name] {
			u.removed = append(u.removed, name)
		}
	}
	if len(u.resources)+len(u.removed) == 0 {
		return nil
	}
	return u
}

// maxPieces bounds the pieces of an update.
const maxPieces = 64

// pieces cuts an update into what it changes, each an update of its own: first
// what it takes away, then one resource each. There are none where they are too
// many.
func (s *state) pieces(source string, u *update) (out []*update) {
	col := s.collection(u.kind, source)
	piece := func() *update {
		return &update{kind: u.kind, version: col.version, nonce: u.nonce, target: u.target}
	}
	less := piece()
	less.removed = append(less.removed, u.removed...)
	named := make(map[string]int, len(u.resources))
	for _, r := range u.resources {
		named[r.name]++
	}
	if u.full && u.kind.whole() && named[""] == 0 {
		for name := range col.items {
			if named[name] == 0 {
				less.removed = append(less.removed, name)
			}
		}
	}
	if len(less.removed) > 0 {
		out = append(out, less)
	}
	for _, r := range u.resources {
		old := col.items[r.name]
		if r.name == "" || r.raw == nil || r.err != nil || named[r.name] > 1 || old != nil && equalRaw(old.raw, r.raw) {
			continue
		}
		if len(out) == maxPieces {
			return nil
		}
		one := piece()
		one.resources = []received{r}
		out = append(out, one)
	}
	return out
}
