package server

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/cache"
	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/config"
)

// What is kept survives a change of the configuration, and goes when it is purged.
func TestACacheOutlivesConfigurations(t *testing.T) {
	pairs(t, func(t *testing.T, client *http.Client, p proxy.UpstreamProtocol) {
		var calls atomic.Int32
		h := newHouse(t, Options{})
		t.Cleanup(client.CloseIdleConnections)
		up := http2Server(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(w, `{"data":[{"index":0,"embedding":[%d]}]}`, calls.Add(1))
		})
		apply := func(settings string) {
			r := resources(up)
			r.Clusters[0].Protocol = p
			c, err := cache.Factory{}.Parse(filtertest.Any(t, cache.Factory{}, settings))
			require.NoError(t, err)
			r.Listeners[0].Default.HTTP.Filters = []config.Filter{{Name: cache.Name, Factory: cache.Factory{}, Config: c}}
			require.NoError(t, h.Apply(r))
		}
		embed := func() string {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+h.address()+"/v1/embeddings", strings.NewReader(`{"model":"e","input":"a"}`))
			require.NoError(t, err)
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("X-Friday-Debug", "1")
			resp, err := client.Do(req)
			require.NoError(t, err)
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			return resp.Header.Get("X-Friday-Cache") + " " + string(body)
		}
		apply("")
		require.Equal(t, `miss {"data":[{"index":0,"embedding":[1]}]}`, embed())
		apply("ttl {seconds: 60}")
		require.Equal(t, `hit {"data":[{"index":0,"embedding":[1]}]}`, embed())
		require.Zero(t, h.Purge("another"))
		require.Equal(t, 1, h.Purge("e"))
		require.Equal(t, `miss {"data":[{"index":0,"embedding":[2]}]}`, embed())
	})
}
