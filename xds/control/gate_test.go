package control

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/fridaymesh/friday/xds/control/ca"
	"github.com/fridaymesh/friday/xds/control/join"
	"github.com/fridaymesh/friday/xds/control/policy"
	"github.com/fridaymesh/friday/xds/resource"
)

// gated is a server with an authority, and tokens that count once.
type gated struct {
	*harness
	authority *ca.Authority
	tokens    *join.Tokens
	config    *tls.Config // of the client
}

func serveWithAuthority(t *testing.T, life time.Duration) *gated {
	t.Helper()
	return serveFor(t, ca.Life{Root: 24 * time.Hour, Certificate: life})
}

func serveFor(t *testing.T, life ca.Life) *gated {
	t.Helper()
	authority, err := ca.Open(t.TempDir(), "mesh.test", life, zap.NewNop())
	require.NoError(t, err)
	tokens, err := join.OpenTokens(t.TempDir(), "mesh.test")
	require.NoError(t, err)
	g := &gated{authority: authority, tokens: tokens, config: &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "fridayd"}}
	require.True(t, g.config.RootCAs.AppendCertsFromPEM(authority.Roots()))
	g.harness = serveGated(t, &Gate{Authority: authority, Ways: []join.Way{tokens}, ServerNames: []string{"fridayd"}}, nil, credentials.NewTLS(g.config))
	return g
}

func (g *gated) token(t *testing.T, cluster, node string) string {
	t.Helper()
	token, _, err := g.tokens.Make(cluster, node, time.Hour)
	require.NoError(t, err)
	return token
}

// certificate is one of an id, as the authority issues it.
func certificate(t *testing.T, by *ca.Authority, id ca.ID) *tls.Certificate {
	t.Helper()
	c, err := by.Issue(id)
	require.NoError(t, err)
	pair, err := tls.X509KeyPair(c.Chain, c.Key)
	require.NoError(t, err)
	return &pair
}

// open opens a stream that shows what is given.
func (g *gated) open(t *testing.T, cert *tls.Certificate, header, cluster, node string) *client {
	t.Helper()
	config := g.config.Clone()
	if cert != nil {
		config.Certificates = []tls.Certificate{*cert}
	}
	conn, err := grpc.NewClient("passthrough:///"+g.address, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	if header != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", header)
	}
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).StreamAggregatedResources(ctx)
	require.NoError(t, err)
	return &client{t: t, stream: stream, node: &corev3.Node{Id: node, Cluster: cluster}, close: cancel}
}

// secrets asks for the node's own, and returns its certificate.
func (c *client) secrets() *x509.Certificate {
	c.t.Helper()
	c.subscribe(resource.SecretType, rootsSecret, ownSecret)
	return c.secret()
}

func (c *client) secret() *x509.Certificate {
	c.t.Helper()
	leaf, _ := c.both()
	return leaf
}

// both are the next certificate and roots.
func (c *client) both() (leaf *x509.Certificate, roots []byte) {
	c.t.Helper()
	r := c.next(resource.SecretType)
	require.Len(c.t, r.GetResources(), 2)
	for _, a := range r.GetResources() {
		m := new(tlsv3.Secret)
		require.NoError(c.t, a.UnmarshalTo(m))
		if m.GetName() == ownSecret {
			pair, err := tls.X509KeyPair(m.GetTlsCertificate().GetCertificateChain().GetInlineBytes(), m.GetTlsCertificate().GetPrivateKey().GetInlineBytes())
			require.NoError(c.t, err)
			leaf = pair.Leaf
		} else {
			roots = m.GetValidationContext().GetTrustedCa().GetInlineBytes()
		}
	}
	c.ack(r, rootsSecret, ownSecret)
	return leaf, roots
}

func (c *client) refusal() error {
	c.t.Helper()
	// Where the stream has been refused before it says anything, only Recv tells why.
	_ = c.stream.Send(&discoveryv3.DiscoveryRequest{Node: c.node, TypeUrl: resource.SecretType, ResourceNames: []string{ownSecret}})
	_, err := c.stream.Recv()
	require.Error(c.t, err)
	return err
}

// Each gets a certificate of its own, and keeps getting them.
func TestCertificates(t *testing.T) {
	g := serveWithAuthority(t, 2*time.Second)
	first := g.open(t, nil, "Bearer "+g.token(t, "", "a"), "", "a")
	leaf := first.secrets()
	require.Equal(t, "spiffe://mesh.test/node/a", leaf.URIs[0].String())
	second := g.open(t, nil, "Bearer "+g.token(t, "vision", "b"), "vision", "b")
	require.Equal(t, "spiffe://mesh.test/node-cluster/vision/node/b", second.secrets().URIs[0].String())
	for range 2 {
		next := first.secret()
		require.NotEqual(t, leaf.SerialNumber, next.SerialNumber)
		require.True(t, next.NotAfter.After(leaf.NotAfter))
		leaf = next
	}
	require.GreaterOrEqual(t, testutil.ToFloat64(g.metrics.Certificates.WithLabelValues("issued")), 4.)
	nodes := g.Nodes()
	require.Equal(t, "spiffe://mesh.test/node/a", nodes[0].Identity)
	require.NotNil(t, nodes[0].CertificateEnds)
}

// Roots change: the next one is told beside the one before, which goes in the end.
func TestRootsChange(t *testing.T) {
	g := serveFor(t, ca.Life{Root: 9 * time.Second, Certificate: time.Second})
	c := g.open(t, nil, "Bearer "+g.token(t, "", "a"), "", "a")
	c.subscribe(resource.SecretType, rootsSecret, ownSecret)
	_, first := c.both()
	for overlapped := false; ; {
		leaf, roots := c.both()
		pool := x509.NewCertPool()
		require.True(t, pool.AppendCertsFromPEM(roots))
		_, err := leaf.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: leaf.NotBefore, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		require.NoError(t, err)
		overlapped = overlapped || bytes.Count(roots, []byte("BEGIN CERTIFICATE")) == 2
		if overlapped && !bytes.Contains(roots, first) {
			break
		}
	}
}

// The incremental variant gets them, too.
func TestCertificatesByDelta(t *testing.T) {
	g := serveWithAuthority(t, 2*time.Second)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+g.token(t, "", "a"))
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(g.conn).DeltaAggregatedResources(ctx)
	require.NoError(t, err)
	require.NoError(t, stream.Send(&discoveryv3.DeltaDiscoveryRequest{
		Node: &corev3.Node{Id: "a"}, TypeUrl: resource.SecretType, ResourceNamesSubscribe: []string{ownSecret, rootsSecret},
	}))
	for _, want := range []int{2, 1, 1} { // both, and then what has changed
		r, err := stream.Recv()
		require.NoError(t, err)
		require.Len(t, r.GetResources(), want)
		require.NoError(t, stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: resource.SecretType, ResponseNonce: r.GetNonce()}))
	}
}

// Who shows the certificate needs no token any more; who has spent one has none.
func TestCertificateInPlaceOfToken(t *testing.T) {
	g := serveWithAuthority(t, time.Hour)
	token := "Bearer " + g.token(t, "", "a")
	c := g.open(t, nil, token, "", "a")
	c.secrets()
	require.Eventually(t, func() bool { return g.Nodes()[0].Types[secretsName].Acked != "" }, time.Minute, time.Millisecond)
	c.close()
	require.Eventually(t, func() bool { return len(g.Nodes()) == 0 }, time.Minute, time.Millisecond)
	require.Equal(t, codes.Unauthenticated, status.Code(g.open(t, nil, token, "", "a").refusal()))
	again := g.open(t, certificate(t, g.authority, "spiffe://mesh.test/node/a"), token, "", "a")
	again.secrets()
}

func TestWhoIsNotLetIn(t *testing.T) {
	g := serveWithAuthority(t, time.Hour)
	other, err := ca.Open(t.TempDir(), "mesh.test", ca.Life{Root: time.Hour, Certificate: time.Minute}, zap.NewNop())
	require.NoError(t, err)
	taken := g.open(t, certificate(t, g.authority, "spiffe://mesh.test/ns/a/sa/a"), "", "", "taken")
	taken.secrets()
	for name, c := range map[string]struct {
		cert         *tls.Certificate
		header, node string
		code         codes.Code
		words        string
	}{
		"nothing":                 {nil, "", "a", codes.Unauthenticated, "it shows neither a certificate nor a token"},
		"no bearer":               {nil, "Basic x", "a", codes.Unauthenticated, "it shows neither a certificate nor a token"},
		"a token of another kind": {nil, "Bearer a.b.c", "a", codes.Unauthenticated, "its token is of no kind that is taken here"},
		"a token made up":         {nil, "Bearer friday-x", "a", codes.Unauthenticated, "token refused: it is unknown, or has been used"},
		"a foreign certificate":   {certificate(t, other, "spiffe://mesh.test/node/a"), "", "a", codes.Unauthenticated, "its certificate is not good: "},
		"both no good": {
			certificate(t, other, "spiffe://mesh.test/node/a"), "Bearer friday-x", "a", codes.Unauthenticated,
			"it is unknown, or has been used; its certificate is not good: ",
		},
		"another node's token":       {nil, "Bearer " + g.token(t, "", "b"), "a", codes.PermissionDenied, `node "a" of cluster "": the stream is that of node "b"`},
		"another node's certificate": {certificate(t, g.authority, "spiffe://mesh.test/node/b"), "", "a", codes.PermissionDenied, `the stream is that of node "b"`},
		"another identity's node": {
			certificate(t, g.authority, "spiffe://mesh.test/ns/a/sa/b"), "", "taken", codes.PermissionDenied,
			"is connected already, as spiffe://mesh.test/ns/a/sa/a",
		},
	} {
		err := g.open(t, c.cert, c.header, "", c.node).refusal()
		require.Equal(t, c.code, status.Code(err), "%s: %v", name, err)
		require.ErrorContains(t, err, c.words, name)
	}
	require.Len(t, g.Nodes(), 1)
	// A foreign certificate does no harm beside a good token.
	g.open(t, certificate(t, other, "spiffe://mesh.test/node/c"), "Bearer "+g.token(t, "", "c"), "", "c").secrets()
}

// A stream that breaks before the certificate has arrived has spent nothing.
func TestTokenOfABrokenStream(t *testing.T) {
	g := serveWithAuthority(t, time.Hour)
	token := "Bearer " + g.token(t, "", "a")
	c := g.open(t, nil, token, "", "a")
	c.subscribe(resource.SecretType, ownSecret)
	c.next(resource.SecretType)
	c.close()
	require.Eventually(t, func() bool { return len(g.Nodes()) == 0 }, time.Minute, time.Millisecond)
	g.open(t, nil, token, "", "a").secrets()
}

// The admin door makes tokens and shows the roots.
func TestTokenOrders(t *testing.T) {
	g := serveWithAuthority(t, time.Hour)
	h := Admin{Nodes: g.Server, Tokens: g.tokens, Registry: prometheus.NewRegistry()}.Handler()
	ask := func(method, path, body string) (int, string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body)))
		return w.Code, w.Body.String()
	}
	for body, says := range map[string]string{
		"{":                                  "not an order",
		`{"node": "a/b"}`:                    `node \"a/b\"`,
		`{"node": "a", "life_seconds": -1}`:  "must be more than 0",
		`{"node": "a", "life_seconds": 1e9}`: "at most",
		`{"nodes": "a"}`:                     "nodes",
	} {
		code, text := ask(http.MethodPost, "/token", body)
		require.Equal(t, http.StatusBadRequest, code, body)
		require.Contains(t, strings.ReplaceAll(text, `"`, `\"`), says, body)
	}
	code, text := ask(http.MethodPost, "/token", `{"node": "a", "node_cluster": "vision"}`)
	require.Equal(t, http.StatusOK, code, text)
	var token Token
	require.NoError(t, json.Unmarshal([]byte(text), &token))
	require.WithinDuration(t, time.Now().Add(DefaultTokenLife), token.Expires, time.Minute)
	g.open(t, nil, "Bearer "+token.Token, "vision", "a").secrets()
	code, text = ask(http.MethodGet, "/roots", "")
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, string(g.authority.Roots()), text)
	for _, entry := range g.logs.All() {
		for _, f := range entry.Context {
			require.NotContains(t, f.String, token.Token)
		}
	}
}

// Where there is no authority nobody gets a secret, and no policy asks for one.
func TestWithoutAuthority(t *testing.T) {
	h := serve(t)
	h.Update(compiled(t, doc("digits", "")))
	c := h.client(t, "n1", "")
	c.subscribe(resource.SecretType, ownSecret)
	c.start("digits") // all else comes
	plain := NewCompiler(compiler().parser.Registry, "")
	list, err := policy.Decode("a.yaml", []byte(doc("digits", "  tls: {}\n")))
	require.NoError(t, err)
	_, err = plain.Compile(list[0])
	require.ErrorContains(t, err, "spec.tls: sidecars have no certificates: fridayd runs without --ca and without --ca-cert")
}
