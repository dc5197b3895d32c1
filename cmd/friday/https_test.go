package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

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
