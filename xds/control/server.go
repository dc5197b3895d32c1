package control

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	gcplog "github.com/envoyproxy/go-control-plane/pkg/log"
	"github.com/envoyproxy/go-control-plane/pkg/server/sotw/v3"
	serverv3 "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// Server serves policies to nodes over ADS, state of the world and delta.
//
// It keeps one snapshot for each node with a stream open, made at the node's
// first request and forgotten with its last stream.
type Server struct {
	log     *zap.Logger
	metrics *Metrics
	// cache answers what nodes name and leaves out what they do not name, rather
	// than waiting until a node names everything (its mode "ads"): a node that
	// has refused one cluster must go on hearing of the others. The order of
	// pushes comes from steps, and the ADS server keeps to it.
	cache cachev3.SnapshotCache
	// secrets is of what is a node's own. gate lets nodes in; nil: everybody, and
	// there are no secrets.
	secrets cachev3.SnapshotCache
	gate    *Gate

	// vetoes holds one: a policy has been refused by too many. changes holds one: nodes
	// have come, gone or answered.
	vetoes, changes chan struct{}

	mu       sync.Mutex
	policies []*Compiled
	nodes    map[string]*node
	streams  map[streamID]*stream
	peers    map[streamID]caller // of streams without a request, too
	known    revisions
	ways     map[string]way // from what to what; of the policies in force
	refusals map[string]*refused
	refused  []Veto // to be taken
}

// way leads nodes from some policies to others.
type way struct {
	snapshots []*cachev3.Snapshot
	err       error
}

// NewServer makes a Server without policies. A gate, where there is one, lets nodes
// in and gives them certificates.
func NewServer(gate *Gate, log *zap.Logger, metrics *Metrics) *Server {
	sugar := log.Sugar()
	words := gcplog.LoggerFuncs{WarnFunc: sugar.Warnf, ErrorFunc: sugar.Errorf}
	return &Server{
		log: log, metrics: metrics, gate: gate,
		cache:    cachev3.NewSnapshotCache(false, nodeHash{}, words),
		secrets:  cachev3.NewSnapshotCache(false, nodeHash{}, words),
		vetoes:   make(chan struct{}, 1),
		changes:  make(chan struct{}, 1),
		nodes:    map[string]*node{},
		streams:  map[streamID]*stream{},
		peers:    map[streamID]caller{},
		ways:     map[string]way{},
		refusals: map[string]*refused{},
	}
}

// Update puts policies in force, which are sorted by name, and pushes what
// changes to every node that it concerns. It does not wait for the nodes.
func (s *Server) Update(policies []*Compiled) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.policies = policies
	clear(s.ways)
	s.forget(policies)
	for key, n := range s.nodes {
		s.serve(key, n)
	}
}

// serve brings a node's snapshot up to date. s.mu is held.
//
//nolint:contextcheck,nolintlint // nothing in it waits; the callers are spared by it, which the second does not see
func (s *Server) serve(key string, n *node) {
	after := selected(s.policies, n.Node)
	w := s.way(n, after)
	n.policies, n.served = after, true
	for _, snapshot := range w.snapshots {
		// It never waits: a stream's queue has room for one response of each type,
		// and no more than one is outstanding.
		if err := s.cache.SetSnapshot(context.Background(), key, snapshot); err != nil {
			w.err = err
			break
		}
	}
	if w.err != nil {
		s.log.Error("snapshot cannot be served", zap.String(fieldNode, n.ID), zap.Error(w.err))
	}
}

// way leads a node to the policies after. Nodes with the same way share the
// snapshots: there may be a thousand. s.mu is held.
func (s *Server) way(n *node, after []*Compiled) way {
	key := identity(after)
	if n.served {
		key = identity(n.policies) + ">" + key
	}
	w, ok := s.ways[key]
	if ok {
		return w
	}
	list := []stage{whole(after)} // to whom nothing is broken
	if n.served {
		list = steps(n.policies, after)
	}
	for _, st := range list {
		s.known.add(st)
		w.snapshots = append(w.snapshots, st.snapshot())
	}
	if last := len(list) - 1; last >= 0 {
		if w.err = w.snapshots[last].Consistent(); w.err != nil {
			w.snapshots = w.snapshots[:last]
		}
	}
	s.ways[key] = w
	return w
}

// identity tells lists of policies apart.
func identity(policies []*Compiled) string {
	var b strings.Builder
	for _, p := range policies {
		b.WriteString(p.Name() + " " + p.Version + "\n")
	}
	return b.String()
}

const (
	// What clients may do: keep a connection without streams, and ping it every
	// second. What the server does: ping what has been silent for 30 s, so that a
	// node that vanished without a word is forgotten.
	clientPing  = time.Second
	serverPing  = 30 * time.Second
	pingTimeout = 10 * time.Second
	// stopping bounds how long the last responses may take at the end.
	stopping = 3 * time.Second
)

// Serve answers on l until ctx ends, then ends every stream and returns. It
// closes l. An error means that l failed. transport nil is plain text; where there is
// a gate, TLS with a certificate of the authority.
func (s *Server) Serve(ctx context.Context, l net.Listener, transport *Transport) error {
	creds := insecure.NewCredentials()
	var more []grpc.ServerOption
	switch {
	case s.gate != nil:
		creds = s.gate.credentials(transport)
		more = append(more, grpc.ChainStreamInterceptor(s.intercept))
	case transport != nil:
		creds = transport.Credentials()
	}
	g := grpc.NewServer(append(more,
		grpc.Creds(creds),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: clientPing, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: serverPing, Timeout: pingTimeout}),
	)...)
	// The ADS server ends its streams when its context ends.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ads := serverv3.NewServer(ctx, mux(s.cache, s.secrets), s.callbacks(), sotw.WithOrderedADS())
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(g, ads)
	var rotating sync.WaitGroup
	if s.gate != nil {
		rotating.Go(func() { s.rotate(ctx, s.gate.Authority.Life()) })
	}
	stopped := make(chan struct{})
	context.AfterFunc(ctx, func() {
		defer close(stopped)
		hard := time.AfterFunc(stopping, g.Stop)
		g.GracefulStop()
		hard.Stop()
	})
	err := g.Serve(l)
	cancel()
	<-stopped
	rotating.Wait()
	if err != nil {
		return fmt.Errorf("serve xDS: %w", err)
	}
	return nil
}
