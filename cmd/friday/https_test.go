package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/proxy/tlscontext/tlstest"
)

// TestUpstreamOverTLS: an upstream is reached by https, in HTTP/2, where the system
// trusts its certificate and it is for the host; else it is not, and says so.
func TestUpstreamOverTLS(t *testing.T) {
	bin := build(t)
	ca := tlstest.NewCA(t)
	roots := filepath.Join(t.TempDir(), "roots.pem")
	require.NoError(t, os.WriteFile(roots, ca.PEM, 0o600))
	for name, tt := range map[string]struct {
		names  []string
		status int
	}{
		"its own":   {[]string{"127.0.0.1"}, 200},
		"another's": {[]string{"127.0.0.2"}, 503},
	} {
		t.Run(name, func(t *testing.T) {
			up := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprint(w, r.Proto)
			}))
			up.TLS = &tls.Config{Certificates: []tls.Certificate{ca.Issue(tt.names...).TLS(t)}}
			up.EnableHTTP2 = true
			up.StartTLS()
			defer up.Close()
			addresses, err := process.FreeAddresses(0, 0)
			require.NoError(t, err)
			listen, admin := addresses[0], addresses[1]
			p, err := run(t).Start("friday", []string{"SSL_CERT_FILE=" + roots}, filepath.Join(bin, "friday"),
				"proxy", "--upstream", up.URL, "--listen", listen, "--admin", admin, "--health-path", "/")
			require.NoError(t, err)
			require.NoError(t, p.Await(t.Context(), patience, process.Listening(listen)))
			if tt.status == 200 {
				require.NoError(t, p.Await(t.Context(), patience, process.OK("http://"+admin+"/ready")))
			}
			resp, err := http.Get("http://" + listen + "/")
			require.NoError(t, err)
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Equal(t, tt.status, resp.StatusCode, "%s", b)
			if tt.status == 200 {
				require.Equal(t, "HTTP/2.0", string(b))
				return
			}
			require.Contains(t, string(b), "TLS_error")
			ready, err := http.Get("http://" + admin + "/ready")
			require.NoError(t, err)
			defer ready.Body.Close()
			why, err := io.ReadAll(ready.Body)
			require.NoError(t, err)
			require.Contains(t, string(why), "no alternative name of the peer's certificate matches")
		})
	}
}

// TestCallersOverTLS: with --tls-cert callers are spoken to in TLS, those alone that show
// a certificate where --tls-client-ca asks for one; a certificate that is changed is the
// next caller's.
func TestCallersOverTLS(t *testing.T) {
	bin := build(t)
	ca, strangers := tlstest.NewCA(t), tlstest.NewCA(t)
	dir := t.TempDir()
	cert, key, roots := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), filepath.Join(dir, "ca.crt")
	write := func(path string, text []byte) {
		require.NoError(t, os.WriteFile(path+".next", text, 0o600))
		require.NoError(t, os.Rename(path+".next", path))
	}
	renew := func() string {
		c := ca.Issue("127.0.0.1")
		write(key, c.Key)
		write(cert, c.Chain)
		leaf, err := x509.ParseCertificate(c.TLS(t).Certificate[0])
		require.NoError(t, err)
		return leaf.SerialNumber.String()
	}
	first := renew()
	write(roots, ca.PEM)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }))
	defer up.Close()
	addresses, err := process.FreeAddresses(0, 0)
	require.NoError(t, err)
	listen, admin := addresses[0], addresses[1]
	args := []string{"proxy", "--upstream", up.URL, "--listen", listen, "--admin", admin, "--tls-cert", cert, "--tls-key", key}
	start := func(more ...string) *process.Process {
		p, err := run(t).Start("friday", nil, filepath.Join(bin, "friday"), append(args, more...)...)
		require.NoError(t, err)
		require.NoError(t, p.Await(t.Context(), patience, process.OK("http://"+admin+"/ready")))
		return p
	}
	// get calls by a connection of its own, and says with which certificate it was answered.
	get := func(own ...tls.Certificate) (serial, protocol string, err error) {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool(), Certificates: own}, ForceAttemptHTTP2: true}}
		defer client.CloseIdleConnections()
		resp, err := client.Get("https://" + listen + "/")
		if err != nil {
			return "", "", err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "hello", string(b))
		return resp.TLS.PeerCertificates[0].SerialNumber.String(), resp.Proto, nil
	}
	p := start()
	serial, protocol, err := get()
	require.NoError(t, err)
	require.Equal(t, first, serial)
	require.Equal(t, "HTTP/2.0", protocol)
	second := renew()
	require.Eventually(t, func() bool {
		serial, _, err := get()
		require.NoError(t, err)
		return serial == second
	}, patience, 10*time.Millisecond)
	resp, err := http.Get("http://" + listen + "/")
	if err == nil { // not answered as one in TLS would be
		require.NoError(t, resp.Body.Close())
		require.NotEqual(t, http.StatusOK, resp.StatusCode)
	}
	require.NoError(t, p.Stop(patience))

	start("--tls-client-ca", roots)
	_, _, err = get()
	require.Error(t, err, "it shows none")
	_, _, err = get(strangers.Issue("someone").TLS(t))
	require.Error(t, err, "it is of another authority")
	serial, _, err = get(ca.Issue("someone").TLS(t))
	require.NoError(t, err)
	require.Equal(t, second, serial)
}
