package control

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"go.uber.org/zap"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/fridaymesh/friday/xds/control/ca"
	"github.com/fridaymesh/friday/xds/control/join"
	"github.com/fridaymesh/friday/xds/control/policy"
	"github.com/fridaymesh/friday/xds/resource"
)

const fieldNode = "node"

// maxWords bounds in bytes what is kept of a node's words.
const maxWords = 8 << 10

// node is a sidecar with at least one stream open. Server.mu guards it.
type node struct {
	policy.Node
	address  string // IP, of its latest stream
	since    time.Time
	streams  int
	served   bool // it has a snapshot, of
	policies []*Compiled
	// identity is who it is; empty where there is no gate. certificate is its latest.
	identity    ca.ID
	certificate *ca.Certificate
	types       map[string]*TypeStatus // by short name
	runs        map[string][]item      // by short name: what it has taken, as far as it says
}

// streamID tells streams apart: each protocol's server counts its own.
type streamID struct {
	protocol string
	number   int64
}

// caller is who has opened a stream.
type caller struct {
	address string      // IP
	guest   *join.Guest // nil where there is no gate
}

// stream is one that has sent a request. Server.mu guards it.
type stream struct {
	key  string
	node *node
	sent map[string]*response // by type URL; the latest
	// settle, where not nil, is to be called: the guest holds its certificate, or has
	// gone without.
	settle func(holds bool)
}

// response is one that has been sent.
type response struct {
	nonce, version string
	answered       bool
	refused        bool // that was the answer
}

// nodeHash keys the cache by what selectors look at.
type nodeHash struct{}

var _ cachev3.NodeHash = nodeHash{}

// nodeOf is what selectors see of a node. Of its metadata only text, numbers and
// truth can be compared.
func nodeOf(n *corev3.Node) policy.Node {
	out := policy.Node{ID: n.GetId(), Cluster: n.GetCluster()}
	for key, v := range n.GetMetadata().GetFields() {
		var text string
		switch v := v.GetKind().(type) {
		case *structpb.Value_StringValue:
			text = v.StringValue
		case *structpb.Value_NumberValue:
			text = strconv.FormatFloat(v.NumberValue, 'f', -1, 64)
		case *structpb.Value_BoolValue:
			text = strconv.FormatBool(v.BoolValue)
		default:
			continue
		}
		if out.Metadata == nil {
			out.Metadata = map[string]string{}
		}
		out.Metadata[key] = text
	}
	return out
}

// ID joins the two with what a header or a flag cannot hold.
func (nodeHash) ID(n *corev3.Node) string { return key(n.GetCluster(), n.GetId()) }

func key(cluster, id string) string { return cluster + "\x00" + id }

// request is what a stream's request says, of either protocol.
type request struct {
	node    *corev3.Node
	typeURL string
	nonce   string
	version string           // in force at the node; state of the world only
	refusal *statuspb.Status // nil: none
}

// request notes a stream's request: the first one names the node, each may
// answer the latest response. seen is the version of that response, where the
// request tells that it has arrived: accepted or not, it need not be sent again.
func (s *Server) request(id streamID, r request) (seen string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.streams[id]
	if st == nil {
		if r.node.GetId() == "" {
			return "", status.Error(codes.InvalidArgument, "node.id is missing: the first request of a stream must name its node")
		}
		if st, err = s.attach(id, r.node); err != nil {
			s.log.Warn("a stream was not let in", zap.String("peer", s.peers[id].address), zap.Error(err))
			s.metrics.Joins.WithLabelValues(byNode, "refused").Inc()
			return "", err
		}
	} else if r.node != nil && (nodeHash{}).ID(r.node) != st.key {
		return "", status.Errorf(codes.InvalidArgument, "node %q of cluster %q: the stream is that of node %q of cluster %q",
			r.node.GetId(), r.node.GetCluster(), st.node.ID, st.node.Cluster)
	}
	sent := st.sent[r.typeURL]
	if sent == nil || r.nonce != sent.nonce {
		return "", nil
	}
	// Whoever has refused a response may take it later, when whatever stood in its
	// way is gone. Only the version tells that from a change of names.
	late := sent.refused && r.refusal == nil && r.version == sent.version
	if !sent.answered || late {
		sent.answered, sent.refused = true, r.refusal != nil
		s.answer(st, r.typeURL, sent.version, r.refusal)
	}
	return sent.version, nil
}

// attach makes the node known, with a snapshot, before the cache looks for it.
func (s *Server) attach(id streamID, n *corev3.Node) (*stream, error) {
	st := &stream{key: nodeHash{}.ID(n), sent: map[string]*response{}}
	st.node = s.nodes[st.key]
	var identity ca.ID
	if guest := s.peers[id].guest; guest != nil {
		if err := admits(guest, n.GetCluster(), n.GetId()); err != nil {
			return nil, err
		}
		if st.node != nil && st.node.identity != guest.ID {
			return nil, status.Errorf(codes.PermissionDenied, "node %q of cluster %q: is connected already, as %s", n.GetId(), n.GetCluster(), st.node.identity)
		}
		identity, st.settle = guest.ID, guest.Settled
	}
	if st.node == nil {
		st.node = &node{Node: nodeOf(n), identity: identity, since: time.Now(), types: map[string]*TypeStatus{}, runs: map[string][]item{}}
		s.nodes[st.key] = st.node
		if identity != "" {
			s.certify(st.key, st.node)
		}
		s.serve(st.key, st.node)
		s.log.Info("node connected", zap.String(fieldNode, st.node.ID), zap.String("node_cluster", st.node.Cluster),
			zap.String("protocol", id.protocol), zap.Strings("policies", names(st.node.policies)))
	}
	st.node.streams++
	st.node.address = s.peers[id].address
	if now := nodeOf(n); !maps.Equal(now.Metadata, st.node.Metadata) { // it was started anew, before its old stream has ended
		st.node.Node = now
		s.serve(st.key, st.node)
	}
	s.streams[id] = st
	s.changed()
	s.metrics.Nodes.Set(float64(len(s.nodes)))
	s.metrics.Streams.WithLabelValues(id.protocol).Inc()
	return st, nil
}

// Changes tells, to one reader, that nodes have come, gone or answered.
func (s *Server) Changes() <-chan struct{} { return s.changes }

func (s *Server) changed() {
	select {
	case s.changes <- struct{}{}:
	default: // told already
	}
}

// detach forgets a stream, and its node with the last one.
func (s *Server) detach(id streamID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := s.peers[id]
	delete(s.peers, id)
	st := s.streams[id]
	if st == nil { // it never sent a request
		if from.guest != nil {
			from.guest.Settled(false)
		}
		return
	}
	delete(s.streams, id)
	if st.settle != nil {
		st.settle(false)
	}
	s.metrics.Streams.WithLabelValues(id.protocol).Dec()
	if st.node.streams--; st.node.streams > 0 {
		return
	}
	delete(s.nodes, st.key)
	for _, r := range s.refusals {
		delete(r.words, st.key)
	}
	s.cache.ClearSnapshot(st.key)
	s.changed()
	s.secrets.ClearSnapshot(st.key)
	s.metrics.Nodes.Set(float64(len(s.nodes)))
	s.log.Info("node disconnected", zap.String(fieldNode, st.node.ID), zap.String("node_cluster", st.node.Cluster))
}

// sent notes a response that is about to be sent.
func (s *Server) sent(id streamID, typeURL, nonce, version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.streams[id]
	if st == nil {
		return
	}
	st.sent[typeURL] = &response{nonce: nonce, version: version}
	st.node.status(typeURL).Sent = version
	s.metrics.Responses.WithLabelValues(shortType(typeURL)).Inc()
}

// answer notes what a node made of a response.
func (s *Server) answer(st *stream, typeURL, version string, refusal *statuspb.Status) {
	defer s.changed()
	n := st.node
	t := n.status(typeURL)
	fields := []zap.Field{
		zap.String(fieldNode, n.ID), zap.String("type", shortType(typeURL)), zap.String("version", version),
	}
	if refusal != nil {
		words := refusal.GetMessage()
		if len(words) > maxWords {
			words = strings.ToValidUTF8(words[:maxWords], "") + "…"
		}
		s.refuse(st.key, n, shortType(typeURL), version, words)
		t.Rejected, t.Error = version, words
		s.metrics.Answers.WithLabelValues(shortType(typeURL), "nack").Inc()
		s.log.Warn("node refused a configuration", append(fields, zap.String("error", words))...)
		return
	}
	if typeURL == resource.SecretType && st.settle != nil {
		st.settle(true)
		st.settle = nil
	}
	s.accept(st.key, n, shortType(typeURL), version)
	t.Acked, t.Rejected, t.Error = version, "", ""
	s.metrics.Answers.WithLabelValues(shortType(typeURL), "ack").Inc()
	s.log.Debug("node accepted a configuration", fields...)
}

func (n *node) status(typeURL string) *TypeStatus {
	name := shortType(typeURL)
	if n.types[name] == nil {
		n.types[name] = &TypeStatus{}
	}
	return n.types[name]
}

// TypeStatus is how far a node is with one type of resources, in versions.
type TypeStatus struct {
	Sent  string `json:"sent,omitempty"`
	Acked string `json:"acked,omitempty"`
	// Rejected and Error tell of the latest refusal; empty once a later version
	// has been accepted.
	Rejected string `json:"rejected,omitempty"`
	Error    string `json:"error,omitempty"`
}

// NodeStatus is one line of the view of nodes.
type NodeStatus struct {
	ID       string            `json:"id"`
	Cluster  string            `json:"cluster,omitempty"`
	Since    time.Time         `json:"connected_since"`
	Streams  int               `json:"streams"`
	Address  string            `json:"address,omitempty"`
	Metadata map[string]string `json:"metadata,omitempty"`
	// Identity is its SPIFFE id, CertificateEnds when its certificate ends.
	Identity        string                `json:"identity,omitempty"`
	CertificateEnds *time.Time            `json:"certificate_ends,omitempty"`
	Policies        []string              `json:"policies"`
	Running         []Running             `json:"running"`
	Types           map[string]TypeStatus `json:"types"`
}

// Nodes is every node with a stream open, by cluster and id.
func (s *Server) Nodes() []NodeStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]NodeStatus, 0, len(s.nodes)) // never null in JSON
	for _, key := range slices.Sorted(maps.Keys(s.nodes)) {
		n := s.nodes[key]
		types := make(map[string]TypeStatus, len(n.types))
		for name, t := range n.types {
			types[name] = *t
		}
		status := NodeStatus{
			ID: n.ID, Cluster: n.Cluster, Since: n.since, Streams: n.streams, Policies: names(n.policies), Types: types,
			Address: n.address, Metadata: n.Metadata, Running: s.running(key, n), Identity: string(n.identity),
		}
		if n.certificate != nil {
			status.CertificateEnds = &n.certificate.Leaf.NotAfter
		}
		list = append(list, status)
	}
	slices.SortStableFunc(list, func(a, b NodeStatus) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.ID, b.ID))
	})
	return list
}
