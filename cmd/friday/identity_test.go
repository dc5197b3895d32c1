package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/exposition"
	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/proxy/tlscontext/tlstest"
	fridayd "github.com/fridaymesh/friday/xds/control"
)

// mutual is a mesh of two sidecars of a fridayd that vouches for them: callers speak
// in the clear to front, which speaks TLS with back, before a server that echoes.
type mutual struct {
	bin, dir             string
	group                *process.Group
	xds, control         string
	front, back, both    string // where they listen; both takes callers of either kind
	frontDoor, backDoor  string
	certificate, rootsAt string // the authority's folder, and a copy of its roots
	fridayd              *process.Process
	args                 []string // of fridayd
}

const mutualPolicies = `apiVersion: friday.dev/v1alpha1
kind: InferencePolicy
metadata: {name: back}
spec:
  selector: {node_id: back}
  address: 127.0.0.1
  port: %[1]s
  tls: {identities: ["spiffe://mesh.test/node-cluster/callers/*"]}
  server: {endpoints: [%[4]q]}
---
apiVersion: friday.dev/v1alpha1
kind: InferencePolicy
metadata: {name: both}
spec:
  selector: {node_id: back}
  address: 127.0.0.1
  port: %[2]s
  tls: {mode: PERMISSIVE}
  server: {endpoints: [%[4]q]}
---
apiVersion: friday.dev/v1alpha1
kind: InferencePolicy
metadata: {name: front}
spec:
  selector: {node_id: front}
  address: 127.0.0.1
  port: %[3]s
  server: {endpoints: ["127.0.0.1:%[1]s"], tls: {identities: ["spiffe://mesh.test/node/back"]}}
---
apiVersion: friday.dev/v1alpha1
kind: InferencePolicy
metadata: {name: stranger}
spec:
  selector: {node_id: stranger}
  address: 127.0.0.1
  port: %[5]s
  server: {endpoints: ["127.0.0.1:%[1]s"], tls: {}}
`

func port(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }

func startMutual(t *testing.T, upstream string, args ...string) (m *mutual, stranger string) {
	t.Helper()
	addresses, err := process.FreeAddresses(0, 0, 0, 0, 0, 0, 0, 0)
	require.NoError(t, err)
	m = &mutual{
		bin: build(t), dir: t.TempDir(), group: run(t), certificate: filepath.Join(t.TempDir(), "ca"),
		xds: addresses[0], control: addresses[1], front: addresses[2], back: addresses[3], both: addresses[4],
		frontDoor: addresses[5], backDoor: addresses[6],
	}
	stranger = addresses[7]
	policies := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(policies, "mesh.yaml"),
		fmt.Appendf(nil, mutualPolicies, port(m.back), port(m.both), port(m.front), upstream, port(stranger)), 0o600))
	m.args = append([]string{
		"--policies", policies, "--listen", m.xds, "--admin", m.control, "--ca", m.certificate, "--trust-domain", "mesh.test",
	}, args...)
	m.startControl(t)
	roots, err := process.Get(t.Context(), "http://"+m.control+"/roots")
	require.NoError(t, err)
	m.rootsAt = m.put(t, "roots.pem", roots)
	return m, stranger
}

// startControl starts fridayd, or starts it again.
func (m *mutual) startControl(t *testing.T) {
	t.Helper()
	var err error
	m.fridayd, err = m.group.Start("fridayd", nil, filepath.Join(m.bin, "fridayd"), m.args...)
	require.NoError(t, err)
	require.NoError(t, m.fridayd.Await(t.Context(), patience, process.OK("http://"+m.control+"/ready")))
}

func (m *mutual) put(t *testing.T, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(m.dir, name)
	require.NoError(t, os.WriteFile(path, text, 0o600))
	return path
}

// token has fridayd make a token, and writes it to a file.
func (m *mutual) token(t *testing.T, cluster, node string) (file string) {
	t.Helper()
	order, err := json.Marshal(fridayd.TokenRequest{Node: node, Cluster: cluster})
	require.NoError(t, err)
	resp, err := http.Post("http://"+m.control+"/token", "application/json", bytes.NewReader(order))
	require.NoError(t, err)
	defer resp.Body.Close()
	var token fridayd.Token
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&token))
	require.NotEmpty(t, token.Token)
	return m.put(t, node+".token", []byte(token.Token+"\n"))
}

// sidecar starts one, that has a folder for its state.
func (m *mutual) sidecar(t *testing.T, name, cluster, node, token, admin string) *process.Process {
	t.Helper()
	p, err := m.group.Start(name, nil, filepath.Join(m.bin, "friday"), "proxy", "--xds", m.xds, "--xds-ca", m.rootsAt, "--xds-token-file", token,
		"--node-id", node, "--node-cluster", cluster, "--admin", admin, "--state-dir", filepath.Join(m.dir, name+"-state"))
	require.NoError(t, err)
	return p
}

func metric(t *testing.T, door, series string) float64 {
	t.Helper()
	text, err := process.Get(t.Context(), "http://"+door+"/metrics")
	require.NoError(t, err)
	return exposition.Sum(string(text), series)
}

func echo(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// Two sidecars get certificates by tokens that count once, and speak TLS with each
// other. fridayd comes and goes under load, each time they show the certificate in place
// of the token and get another: no request fails, and the connections stay.
func TestMutualTLS(t *testing.T) {
	m, strangers := startMutual(t, echo(t))
	back := m.sidecar(t, "back", "", "back", m.token(t, "", "back"), m.backDoor)
	require.NoError(t, back.Await(t.Context(), patience, process.OK("http://"+m.backDoor+"/ready")))
	token := m.token(t, "callers", "front")
	front := m.sidecar(t, "front", "callers", "front", token, m.frontDoor)
	require.NoError(t, front.Await(t.Context(), patience, process.OK("http://"+m.frontDoor+"/ready")))
	callers := load("http://"+m.front, 4)
	callers.more(t, 100)

	const ends = "friday_identity_end_timestamp_seconds" // which tells certificates apart
	seen := map[string]map[float64]bool{m.frontDoor: {}, m.backDoor: {}}
	look := func() {
		for door, all := range seen {
			all[metric(t, door, ends)] = true
		}
	}
	connected := func() bool {
		nodes, err := process.Get(t.Context(), "http://"+m.control+"/nodes")
		return err == nil && bytes.Contains(nodes, []byte(`"identity": "spiffe://mesh.test/node-cluster/callers/node/front"`)) &&
			bytes.Contains(nodes, []byte(`"identity": "spiffe://mesh.test/node/back"`))
	}
	for look(); len(seen[m.frontDoor]) < 3 || len(seen[m.backDoor]) < 3; look() {
		require.NoError(t, m.fridayd.Stop(patience))
		m.startControl(t)
		require.Eventually(t, connected, patience, 20*time.Millisecond)
		callers.more(t, 20)
	}
	callers.more(t, 100)
	callers.end(t)
	opened := metric(t, m.frontDoor, `friday_upstream_connections_total{cluster="front"}`)
	require.Less(t, 10*opened, float64(callers.sent.Load()), "connections stay")
	require.Positive(t, metric(t, m.frontDoor, `friday_upstream_tls_handshakes_total{cluster="front",result="full"}`))
	require.Zero(t, metric(t, m.frontDoor, `friday_upstream_tls_handshakes_total{cluster="front",result="failed"}`))

	// Who has no certificate of the authority is not served by back.
	client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
	defer client.CloseIdleConnections()
	_, err := post(client, "http://"+m.back, "x")
	require.Error(t, err, "in the clear")
	own := tlstest.NewCA(t).Issue("spiffe://mesh.test/node-cluster/callers/node/front").TLS(t)
	foreign := &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{
		InsecureSkipVerify: true, Certificates: []tls.Certificate{own},
	}}}
	defer foreign.CloseIdleConnections()
	_, err = post(foreign, "https://"+m.back, "x")
	require.Error(t, err, "of another authority")

	// Both take part on a permissive port.
	got, err := post(client, "http://"+m.both, "clear")
	require.NoError(t, err)
	require.Equal(t, "clear", got)
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", m.both, &tls.Config{InsecureSkipVerify: true})
	require.NoError(t, err)
	require.Equal(t, "spiffe://mesh.test/node/back", conn.ConnectionState().PeerCertificates[0].URIs[0].String())
	require.NoError(t, conn.Close())

	// A sidecar of the authority that back does not let in.
	door, err := process.FreeAddresses(0)
	require.NoError(t, err)
	other := m.sidecar(t, "stranger", "", "stranger", m.token(t, "", "stranger"), door[0])
	require.NoError(t, other.Await(t.Context(), patience, process.OK("http://"+door[0]+"/ready")))
	resp, err := client.Post("http://"+strangers, "text/plain", strings.NewReader("x"))
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)

	// The token is spent; the certificate, which was kept, is not.
	require.NoError(t, front.Stop(patience))
	require.NoError(t, os.Remove(token))
	front = m.sidecar(t, "front", "callers", "front", token, m.frontDoor)
	require.NoError(t, front.Await(t.Context(), patience, process.OK("http://"+m.frontDoor+"/ready")))
	got, err = post(client, "http://"+m.front, "again")
	require.NoError(t, err)
	require.Equal(t, "again", got)
	require.Eventually(t, connected, patience, 20*time.Millisecond)
	m.secret(t)
}

// secret looks for private keys where none may be: only in files of mode 0600 that
// keep them, and in no log.
func (m *mutual) secret(t *testing.T) {
	t.Helper()
	logs := m.group.Tails(1 << 20)
	require.Contains(t, logs, "certificate issued")
	require.NotContains(t, logs, "PRIVATE")
	require.NotContains(t, logs, "friday-", "a token")
	keys := 0
	for _, dir := range []string{m.certificate, m.dir} {
		require.NoError(t, filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil || !bytes.Contains(text, []byte("PRIVATE KEY")) {
				return err
			}
			keys++
			info, err := e.Info()
			require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), path)
			return err
		}))
	}
	require.GreaterOrEqual(t, keys, 4, "the authority's, and three sidecars'")
	for _, door := range []string{m.frontDoor, m.backDoor} {
		dump, err := process.Get(t.Context(), "http://"+door+"/config_dump")
		require.NoError(t, err)
		require.NotContains(t, string(dump), "PRIVATE")
	}
}

// A token that has been spent, of another node, or made up lets nobody in, and
// fridayd and the sidecar say why.
func TestTokensRefused(t *testing.T) {
	m, _ := startMutual(t, echo(t))
	spent := m.token(t, "", "back")
	back := m.sidecar(t, "back", "", "back", spent, m.backDoor)
	require.NoError(t, back.Await(t.Context(), patience, process.OK("http://"+m.backDoor+"/ready")))
	for name, c := range map[string]struct{ file, node, want string }{
		"spent":     {spent, "back", "it is unknown, or has been used"},
		"another's": {m.token(t, "", "front"), "stranger", `node \"stranger\" of cluster \"\": the stream is that of node \"front\"`},
		"made up":   {m.put(t, "made-up", []byte("x")), "front", "its token is of no kind that is taken here"},
		"missing":   {filepath.Join(m.dir, "none"), "front", "none: no such file or directory"},
		"empty":     {m.put(t, "empty", nil), "front", "no token in it"},
	} {
		door, err := process.FreeAddresses(0)
		require.NoError(t, err)
		p := m.sidecar(t, "refused-"+strings.Fields(name)[0], "", c.node, c.file, door[0])
		require.Eventually(t, func() bool { return strings.Contains(p.Tail(50), c.want) }, patience, 20*time.Millisecond, "%s: %s", name, c.want)
	}
}

// Sidecars are let in by the tokens of their service accounts, which a Kubernetes API
// reviews, and call fridayd by a name of its certificate.
func TestServiceAccounts(t *testing.T) {
	root := tlstest.NewCA(t)
	api := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review map[string]any
		if r.Header.Get("Authorization") != "Bearer of-fridayd" || json.NewDecoder(r.Body).Decode(&review) != nil {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		spec, _ := review["spec"].(map[string]any)
		status := map[string]any{"authenticated": false, "error": "unknown"}
		if spec["token"] == "e30.e30.pod" {
			status = map[string]any{
				"authenticated": true, "audiences": spec["audiences"],
				"user": map[string]any{
					"username": "system:serviceaccount:models:llama",
					"extra":    map[string][]string{"authentication.kubernetes.io/pod-name": {"llama-0"}},
				},
			}
		}
		review["status"] = status
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(review)
	}))
	api.TLS = root.Issue("127.0.0.1").ServerConfig(t)
	api.StartTLS()
	t.Cleanup(api.Close)
	dir, policies := t.TempDir(), t.TempDir()
	put := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	put("token", "of-fridayd\n")
	put("ca.crt", string(root.PEM))
	addresses, err := process.FreeAddresses(0, 0, 0, 0, 0, 0)
	require.NoError(t, err)
	xds, ctl, listen, door, other, another := addresses[0], addresses[1], addresses[2], addresses[3], addresses[4], addresses[5]
	require.NoError(t, os.WriteFile(filepath.Join(policies, "a.yaml"), fmt.Appendf(nil,
		"apiVersion: friday.dev/v1alpha1\nkind: InferencePolicy\nmetadata: {name: echo}\nspec:\n  address: 127.0.0.1\n  port: %s\n  tls: {}\n  server: {endpoints: [%q]}\n",
		port(listen), echo(t)), 0o600))
	bin, g := build(t), run(t)
	host, apiPort, err := net.SplitHostPort(api.Listener.Addr().String())
	require.NoError(t, err)
	control, err := g.Start("fridayd", []string{"KUBERNETES_SERVICE_HOST=" + host, "KUBERNETES_SERVICE_PORT=" + apiPort}, filepath.Join(bin, "fridayd"),
		"--policies", policies, "--listen", xds, "--admin", ctl, "--ca", filepath.Join(dir, "ca"), "--kubernetes-tokens", "--kubernetes-account", dir)
	require.NoError(t, err)
	require.NoError(t, control.Await(t.Context(), patience, process.OK("http://"+ctl+"/ready")))
	roots := filepath.Join(dir, "ca", "ca.crt")
	start := func(name, node, token, admin string) *process.Process {
		p, err := g.Start(name, nil, filepath.Join(bin, "friday"), "proxy", "--xds", "localhost:"+port(xds), "--xds-ca", roots,
			"--xds-token-file", token, "--node-id", node, "--admin", admin)
		require.NoError(t, err)
		return p
	}
	good := put("pod.jwt", "e30.e30.pod")
	pod := start("pod", "llama-0.models", good, door)
	require.NoError(t, pod.Await(t.Context(), patience, process.OK("http://"+door+"/ready")))
	text, err := os.ReadFile(roots)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(text))
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", listen, &tls.Config{InsecureSkipVerify: true})
	require.NoError(t, err)
	leaf := conn.ConnectionState().PeerCertificates[0]
	require.NoError(t, conn.Close())
	_, err = leaf.Verify(x509.VerifyOptions{Roots: pool})
	require.NoError(t, err)
	require.Equal(t, "spiffe://cluster.local/ns/models/sa/llama", leaf.URIs[0].String())

	liar := start("liar", "llama-1", good, other)
	require.Eventually(t, func() bool { return strings.Contains(liar.Tail(50), `the token is of pod \"llama-0\"`) }, patience, 20*time.Millisecond)
	forger := start("forger", "llama-0", put("forged.jwt", "e30.e30.forged"), another)
	require.Eventually(t, func() bool { return strings.Contains(forger.Tail(50), "token refused by Kubernetes: unknown") }, patience, 20*time.Millisecond)
}
