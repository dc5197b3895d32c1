package server

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/admission"
	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/config"
)

// Through sockets, over either HTTP: one request is in flight, one waits, the third is told
// to come back; and what is learned and left survives a change of the configuration.
func TestAdmission(t *testing.T) {
	pairs(t, func(t *testing.T, client *http.Client, p proxy.UpstreamProtocol) {
		h := newHouse(t, Options{})
		t.Cleanup(client.CloseIdleConnections)
		arrived, answer := make(chan struct{}, 8), make(chan struct{})
		up := http2Server(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			arrived <- struct{}{}
			<-answer
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprint(w, `{"data":[]}`)
		})
		apply := func() {
			r := resources(up)
			r.Clusters[0].Protocol = p
			c, err := admission.Factory{}.Parse(filtertest.Any(t, admission.Factory{}, "max_concurrency {value: 1} max_queue: 1 requests_per_minute: 3"))
			require.NoError(t, err)
			r.Listeners[0].Default.HTTP.Filters = []config.Filter{{Name: admission.Name, Factory: admission.Factory{}, Config: c}}
			require.NoError(t, h.Apply(r))
		}
		embed := func() *http.Response {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+h.address()+"/v1/embeddings", strings.NewReader(`{"model":"e","input":"a"}`))
			require.NoError(t, err)
			resp, err := client.Do(req)
			require.NoError(t, err)
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			if resp.StatusCode != http.StatusOK {
				require.Equal(t, "application/json", resp.Header.Get("Content-Type"))
				require.Contains(t, string(body), `{"error":{"message":"`)
			}
			return resp
		}
		apply()
		codes := make(chan int, 3)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { codes <- embed().StatusCode })
		}
		require.Equal(t, http.StatusServiceUnavailable, <-codes, "who finds two before it")
		apply()
		<-arrived
		close(answer)
		wg.Wait()
		require.Equal(t, http.StatusOK, <-codes)
		require.Equal(t, http.StatusOK, <-codes)

		resp := embed()
		require.Equal(t, http.StatusOK, resp.StatusCode, "the one that was refused has been given back")
		require.Equal(t, "3", resp.Header.Get("X-Ratelimit-Limit-Requests"))
		require.Equal(t, "0", resp.Header.Get("X-Ratelimit-Remaining-Requests"))
		resp = embed()
		require.Equal(t, http.StatusTooManyRequests, resp.StatusCode)
		require.NotEmpty(t, resp.Header.Get("Retry-After"))
	})
}
