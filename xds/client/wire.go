package client

import (
	"context"
	"fmt"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secretv3 "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

// wire is one stream in one variant of the protocol. Its methods but recv are
// called from one goroutine, recv from another.
type wire interface {
	// ask says which names of k are wanted from now on, sorted; of a kind that is
	// whole there are none.
	ask(k kind, names []string) error
	// answer acknowledges a response of k, or says why it was refused.
	answer(k kind, version, nonce string, refused error) error
	// recv waits for the next response. It is nil where it is of a type that is
	// not known: typeURL.
	recv() (u *update, typeURL string, err error)
}

// open opens a stream.
func (f *feed) open(ctx context.Context, conn *grpc.ClientConn, target string) (wire, error) {
	st := f.c.state.Load()
	switch {
	case f.delta && f.source == "":
		rpc, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
		return &delta{rpc: rpc, node: f.c.opts.Node, known: func(k kind) map[string]string { return st.versions(k, f.source, target) }}, err
	case f.delta:
		rpc, err := secretv3.NewSecretDiscoveryServiceClient(conn).DeltaSecrets(ctx)
		return &delta{rpc: rpc, node: f.c.opts.Node, known: func(k kind) map[string]string { return st.versions(k, f.source, target) }}, err
	case f.source == "":
		rpc, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).StreamAggregatedResources(ctx)
		return &world{rpc: rpc, node: f.c.opts.Node, versions: st.version(f.source, target)}, err
	}
	rpc, err := secretv3.NewSecretDiscoveryServiceClient(conn).StreamSecrets(ctx)
	return &world{rpc: rpc, node: f.c.opts.Node, versions: st.version(f.source, target)}, err
}

// version are the versions that the control plane at target has been told are in
// force. Those of another mean nothing to it.
func (s *state) version(source, target string) (out [kinds]string) {
	for k := range kinds {
		if source != "" && k != sds {
			continue
		}
		if col := s.look(k, source); col != nil && col.from == target {
			out[k] = col.version
		}
	}
	return out
}

// versions are the resources of k that are there, for initial_resource_versions.
// The control plane sends those that it has in another version and says which it
// does not have. What came from elsewhere, or from the state file, is named in a
// version that nobody has, so that it does that for these, too.
func (s *state) versions(k kind, source, target string) map[string]string {
	col := s.look(k, source)
	if col == nil {
		return nil
	}
	out := make(map[string]string, len(col.items))
	for name, i := range col.items {
		out[name] = i.version
		if i.from != target {
			out[name] = "of another control plane: " + i.version
		}
	}
	return out
}

// world is the state of the world: every request has all names of its kind.
type world struct {
	rpc interface {
		Send(*discoveryv3.DiscoveryRequest) error
		Recv() (*discoveryv3.DiscoveryResponse, error)
	}
	node     *corev3.Node // sent once
	versions [kinds]string
	nonces   [kinds]string
	names    [kinds][]string
}

var _ wire = (*world)(nil)

func (w *world) ask(k kind, names []string) error {
	w.names[k] = names
	return w.send(k, nil)
}

// answer repeats the names of the last request, since a control plane need not
// look at those of a NACK.
func (w *world) answer(k kind, version, nonce string, refused error) error {
	w.nonces[k] = nonce
	if refused == nil {
		w.versions[k] = version
	}
	return w.send(k, refused)
}

func (w *world) send(k kind, refused error) error {
	req := &discoveryv3.DiscoveryRequest{
		TypeUrl: k.typeURL(), Node: w.node, ResourceNames: w.names[k],
		VersionInfo: w.versions[k], ResponseNonce: w.nonces[k], ErrorDetail: detail(refused),
	}
	w.node = nil
	return sent(w.rpc.Send(req))
}

func (w *world) recv() (*update, string, error) {
	resp, err := w.rpc.Recv()
	if err != nil {
		return nil, "", err
	}
	if k, ok := kindOf(resp.GetTypeUrl()); ok {
		return ofWorld(k, resp), resp.GetTypeUrl(), nil
	}
	return nil, resp.GetTypeUrl(), nil
}

// delta is the incremental variant. A change of the names is a request of its own
// without a nonce: with one, istiod drops it where the nonce is not the newest.
type delta struct {
	rpc interface {
		Send(*discoveryv3.DeltaDiscoveryRequest) error
		Recv() (*discoveryv3.DeltaDiscoveryResponse, error)
	}
	node  *corev3.Node // sent once
	known func(kind) map[string]string
	asked [kinds]bool
	names [kinds][]string
}

var _ wire = (*delta)(nil)

func (d *delta) ask(k kind, names []string) error {
	req := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: k.typeURL()}
	if !d.asked[k] {
		req.InitialResourceVersions = d.known(k)
	}
	req.ResourceNamesSubscribe = without(names, d.names[k])
	req.ResourceNamesUnsubscribe = without(d.names[k], names)
	d.asked[k], d.names[k] = true, names
	return d.send(req)
}

func (d *delta) answer(k kind, _, nonce string, refused error) error {
	return d.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: k.typeURL(), ResponseNonce: nonce, ErrorDetail: detail(refused)})
}

func (d *delta) send(req *discoveryv3.DeltaDiscoveryRequest) error {
	req.Node, d.node = d.node, nil
	return sent(d.rpc.Send(req))
}

func (d *delta) recv() (*update, string, error) {
	resp, err := d.rpc.Recv()
	if err != nil {
		return nil, "", err
	}
	if k, ok := kindOf(resp.GetTypeUrl()); ok {
		return ofDelta(k, resp), resp.GetTypeUrl(), nil
	}
	return nil, resp.GetTypeUrl(), nil
}

// without are the names of a that are not in b; both are sorted.
func without(a, b []string) (out []string) {
	for _, name := range a {
		if _, there := slices.BinarySearch(b, name); !there {
			out = append(out, name)
		}
	}
	return out
}

func detail(refused error) *statuspb.Status {
	if refused == nil {
		return nil
	}
	return &statuspb.Status{Code: int32(codes.InvalidArgument), Message: cut(refused.Error())}
}

// sent wraps what Send says: that it is over, and Recv knows why.
func sent(err error) error {
	if err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}
