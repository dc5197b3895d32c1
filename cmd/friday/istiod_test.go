package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	statusv3 "github.com/envoyproxy/go-control-plane/envoy/service/status/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/sidecar"
	"github.com/fridaymesh/friday/xds/xdstest"
)

// serveDir is a folder of resources, where this process is the control plane of
// TestConfigurationOfIstiod; its ports are replaced as servePorts says.
const serveDir, servePorts = "FRIDAY_TEST_SERVE", "FRIDAY_TEST_PORTS"

// TestServe is the control plane, in a process of its own that can be killed.
func TestServe(t *testing.T) {
	dir := os.Getenv(serveDir)
	if dir == "" {
		t.Skip("not the control plane")
	}
	cp := xdstest.New(t)
	cp.Set(xdstest.Load(t, dir, strings.Split(os.Getenv(servePorts), ",")...)...)
	fmt.Println("serving " + cp.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin) // until the test ends, or kills it
}

// control starts it.
func control(t *testing.T, dir, listen, server string) (addr string, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestServe$")
	n, err := strconv.Atoi(listen)
	require.NoError(t, err)
	var pairs []string
	for _, space := range []string{" ", "  "} { // a dump is not always written alike
		for _, p := range [][3]string{{"port_value", "18080", listen}, {"port_value", "18000", server}, {"destination_port", "18080", listen}, {"start", "18080", listen}, {"end", "18081", strconv.Itoa(n + 1)}} {
			pairs = append(pairs, `"`+p[0]+`":`+space+p[1], `"`+p[0]+`": `+p[2])
		}
	}
	ports := strings.Join(pairs, ",")
	cmd.Env = append(os.Environ(), serveDir+"="+dir, servePorts+"="+ports)
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	kill = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = stdin.Close()
	}
	t.Cleanup(kill)
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if addr, ok := strings.CutPrefix(lines.Text(), "serving "); ok {
			return addr, kill
		}
	}
	require.FailNow(t, "the control plane does not serve")
	return "", nil
}

const istiodBootstrap = `
node: {id: sidecar~127.0.0.1~llama-0.models~models.svc.cluster.local, cluster: llama.models}
dynamic_resources:
  ads_config: {api_type: %s, transport_api_version: V3, set_node_on_first_message_only: true, grpc_services: [{envoy_grpc: {cluster_name: xds-grpc}}]}
  lds_config: {ads: {}, initial_fetch_timeout: 0s, resource_api_version: V3}
  cds_config: {ads: {}, initial_fetch_timeout: 0s, resource_api_version: V3}
static_resources:
  clusters:
  - name: xds-grpc
    type: STATIC
    connect_timeout: 1s
    typed_extension_protocol_options: &h2
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment: {cluster_name: xds-grpc, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %s}}}}]}]}
  - name: sds-grpc
    type: STATIC
    connect_timeout: 1s
    typed_extension_protocol_options: *h2
    load_assignment: {cluster_name: sds-grpc, endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: %s}}}}]}]}
`

// What an istiod sends to a sidecar without interception serves: plain and with
// mutual TLS on one port, its certificates from the agent's socket; and goes on
// when the control plane is killed, over a restart too. Dumps of a real istiod are
// read from $FRIDAY_ISTIOD_DUMPS, where it is set.
func TestConfigurationOfIstiod(t *testing.T) {
	bin := build(t)
	dirs := map[string]string{"fixture": filepath.Join("..", "..", "xds", "xdstest", "testdata", "none")}
	if dumps := os.Getenv("FRIDAY_ISTIOD_DUMPS"); dumps != "" {
		dirs["dump"] = filepath.Join(dumps, "none-sotw")
	}
	for name, dir := range dirs {
		for _, variant := range []string{"GRPC", "DELTA_GRPC"} {
			t.Run(name+" "+variant, func(t *testing.T) { istiod(t, bin, dir, variant, name == "dump") })
		}
	}
}

// guarded says that an authorization policy lets in POST to /v1/ by the account gw alone.
func istiod(t *testing.T, bin, dir, variant string, guarded bool) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "model "+r.URL.Path) }))
	defer up.Close()
	addresses, err := process.FreeAddresses(0, 0)
	require.NoError(t, err)
	listen, admin := addresses[0], addresses[1]
	port := func(address string) string {
		_, p, err := net.SplitHostPort(address)
		require.NoError(t, err)
		return p
	}
	addr, kill := control(t, dir, port(listen), port(up.Listener.Addr().String()))

	ca := xdstest.NewCA(t)
	agent := xdstest.NewAt(t, "unix", filepath.Join(t.TempDir(), "sds"))
	const identity = "spiffe://cluster.local/ns/models/sa/llama"
	agent.Set(ca.Secret(t, "default", identity), ca.Validation("ROOTCA"))

	file := filepath.Join(t.TempDir(), "bootstrap.yaml")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, istiodBootstrap, variant, port(addr), agent.Addr()), 0o600))
	state := t.TempDir()
	s, err := sidecar.Configured(t.Context(), run(t), bin, "friday", file, listen, admin, "--state-dir", state)
	require.NoError(t, err)

	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ca.PEM))
	caller := func(account string) *http.Client {
		cert, key := ca.Issue(t, "spiffe://cluster.local/ns/models/sa/"+account)
		pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
		require.NoError(t, err)
		c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
			Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true, NextProtos: []string{"istio-http/1.1", "http/1.1"},
			VerifyConnection: func(cs tls.ConnectionState) error {
				require.Equal(t, identity, cs.PeerCertificates[0].URIs[0].String())
				_, err := cs.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots})
				return err
			},
		}}}
		t.Cleanup(c.CloseIdleConnections)
		return c
	}
	gateway, other := caller("gw"), caller("other")
	ask := func() {
		t.Helper()
		for _, tt := range []struct {
			client       *http.Client
			url, method  string
			whereGuarded int
		}{
			{gateway, "https://" + listen, http.MethodPost, http.StatusOK},
			{gateway, "https://" + listen, http.MethodGet, http.StatusForbidden},
			{other, "https://" + listen, http.MethodPost, http.StatusForbidden},
			{http.DefaultClient, "http://" + listen, http.MethodPost, http.StatusForbidden},
		} {
			req, err := http.NewRequestWithContext(t.Context(), tt.method, tt.url+"/v1/models", http.NoBody)
			require.NoError(t, err)
			resp, err := tt.client.Do(req)
			require.NoError(t, err)
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			resp.Body.Close()
			status, says := http.StatusOK, "model /v1/models"
			if guarded && tt.whereGuarded != http.StatusOK {
				status, says = tt.whereGuarded, "RBAC: access denied"
			}
			require.Equal(t, status, resp.StatusCode, "%s %s", tt.method, tt.url)
			require.Equal(t, says, string(body))
		}
	}
	ask()
	configs := csds(t, admin)
	require.NotZero(t, configs["type.googleapis.com/envoy.config.listener.v3.Listener"])

	kill()
	ask()
	require.NoError(t, s.Stop(patience))
	_, err = sidecar.Configured(t.Context(), run(t), bin, "friday", file, listen, admin, "--state-dir", state)
	require.NoError(t, err)
	ask()
}

// csds asks the admin port, by gRPC, how many resources of each type there are.
func csds(t *testing.T, admin string) map[string]int {
	t.Helper()
	conn, err := grpc.NewClient(admin, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer conn.Close()
	stream, err := statusv3.NewClientStatusDiscoveryServiceClient(conn).StreamClientStatus(context.Background())
	require.NoError(t, err)
	out := map[string]int{}
	for range 2 { // a stream may be asked again
		require.NoError(t, stream.Send(&statusv3.ClientStatusRequest{ExcludeResourceContents: true}))
		resp, err := stream.Recv()
		require.NoError(t, err)
		clear(out)
		for _, g := range resp.GetConfig()[0].GetGenericXdsConfigs() {
			require.Nil(t, g.GetXdsConfig())
			out[g.GetTypeUrl()]++
		}
	}
	require.NoError(t, stream.CloseSend())
	return out
}
