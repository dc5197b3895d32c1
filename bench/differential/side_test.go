//go:build interop

package differential

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/envoy"
	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/sidecar"
	"github.com/fridaymesh/friday/xds/xdstest"
)

// side is one of the two proxies, with a control plane that tells it what the other
// one is told.
type side struct {
	name    string
	control *xdstest.ControlPlane
	admin   string
	process *process.Process
	stage   *stage

	// listen is the address of the case at hand.
	listen string
	http1  *http.Client
	http2  *http.Client
	ids    *atomic.Int64
}

const patience = 20 * time.Second

// newSides starts both.
func newSides(t *testing.T, s *stage) []*side {
	t.Helper()
	group, err := process.NewGroup(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(group.Tails(20))
		}
		group.Close()
	})
	ids := new(atomic.Int64)
	sides := []*side{newSide(t, "envoy", s, ids), newSide(t, "friday", s, ids)}
	sides[0].startEnvoy(t, group)
	sides[1].startFriday(t, group)
	return sides
}

func newSide(t *testing.T, name string, s *stage, ids *atomic.Int64) *side {
	t.Helper()
	admin, err := process.FreeAddresses(0)
	require.NoError(t, err)
	client := func(h2 bool) *http.Client {
		protocols := new(http.Protocols)
		protocols.SetHTTP1(!h2)
		protocols.SetUnencryptedHTTP2(h2)
		transport := &http.Transport{Protocols: protocols, DisableCompression: true}
		t.Cleanup(transport.CloseIdleConnections)
		return &http.Client{
			Transport: transport, Timeout: patience,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return &side{
		name: name, control: xdstest.New(t), admin: admin[0], stage: s,
		http1: client(false), http2: client(true), ids: ids,
	}
}

const envoyBootstrap = `{
  "node": {"id": "differential", "cluster": "differential"},
  "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": %s}}},
  "dynamic_resources": {
    "ads_config": {"api_type": "GRPC", "transport_api_version": "V3", "grpc_services": [{"envoy_grpc": {"cluster_name": "ads"}}]},
    "lds_config": {"ads": {}, "resource_api_version": "V3"},
    "cds_config": {"ads": {}, "resource_api_version": "V3"}
  },
  "static_resources": {"clusters": [{
    "name": "ads", "type": "STATIC",
    "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
      "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
      "explicit_http_config": {"http2_protocol_options": {}}}},
    "load_assignment": {"cluster_name": "ads", "endpoints": [{"lb_endpoints": [{"endpoint": {"address":
      {"socket_address": {"address": "127.0.0.1", "port_value": %s}}}}]}]}
  }]}
}`

func (s *side) startEnvoy(t *testing.T, g *process.Group) {
	t.Helper()
	program, err := envoy.PathWith(t.Context(), "", func(s string) { t.Log(s) })
	require.NoError(t, err)
	file := g.File("envoy.json")
	text := fmt.Sprintf(envoyBootstrap, portOf(s.admin), portOf(s.control.Addr()))
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	s.process, err = g.Start("envoy", nil, program, "-c", file, "--concurrency", "1",
		"--disable-hot-restart", "--drain-time-s", "1", "--file-flush-interval-msec", "50", "--log-level", "warning")
	require.NoError(t, err)
	require.NoError(t, s.process.Await(t.Context(), patience, process.OK("http://"+s.admin+"/server_info")))
}

func (s *side) startFriday(t *testing.T, g *process.Group) {
	t.Helper()
	var err error
	s.process, err = g.Start("friday", nil, filepath.Join(binaries(t), "friday"), "proxy",
		"--xds", s.control.Addr(), "--node-id", "differential", "--admin", s.admin, "--log-level", "debug")
	require.NoError(t, err)
	require.NoError(t, s.process.Await(t.Context(), patience, process.OK("http://"+s.admin+"/server_info")))
}

func portOf(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }

// binaries builds Friday, or takes the one that FRIDAY_BIN names.
func binaries(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("FRIDAY_BIN"); dir != "" {
		bin, err := sidecar.Binaries(dir)
		require.NoError(t, err)
		return bin
	}
	dir := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", dir+string(filepath.Separator), "github.com/fridaymesh/friday/cmd/friday").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return dir
}

// answer is what a caller got.
type answer struct {
	Status int
	Header http.Header
	Body   string
	// Seen is what the endpoints saw of the request, in order.
	Seen []seen
	// Took is how long it took, for those who ask for its class.
	Took time.Duration
	// Cut says that the answer ended with an error.
	Cut bool
	// TLS is what was agreed to with the listener.
	TLS string
}

// send sends one request to the case's listener.
func (s *side) send(ctx context.Context, r *Request) (*answer, error) {
	method := r.Method
	if method == "" {
		method = http.MethodGet
	}
	path := r.Path
	if path == "" {
		path = "/"
	}
	var body io.Reader
	if r.Body != "" {
		body = bytes.NewReader([]byte(r.Body))
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+s.listen, body)
	if err != nil {
		return nil, err
	}
	req.URL.Opaque = path // to the letter
	req.Host = "case.test"
	if r.Host != "" {
		req.Host = r.Host
	}
	req.Header["User-Agent"] = nil
	for _, line := range r.Header {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Add(name, value)
	}
	id := strconv.FormatInt(s.ids.Add(1), 10)
	req.Header.Set(idField, id)
	if r.Play != "" {
		req.Header.Set(playField, r.Play)
	}
	client := s.http1
	switch {
	case r.TLS != nil:
		req.URL.Scheme = "https"
		secure := s.stage.pki.client(r.TLS, r.HTTP2)
		defer secure.CloseIdleConnections()
		client = secure
	case r.HTTP2:
		client = s.http2
	}
	start := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	took := time.Since(start)
	if r.Settle > 0 { // what goes on after the answer: mirrors
		deadline := time.Now().Add(patience)
		for len(s.stage.of(id)) < r.Settle && time.Now().Before(deadline) {
			time.Sleep(5 * time.Millisecond)
		}
	}
	return &answer{Status: resp.StatusCode, Header: resp.Header, Body: string(text), Seen: s.stage.of(id), Took: took, Cut: err != nil, TLS: agreed(resp.TLS)}, nil
}
