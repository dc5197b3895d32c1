package server

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/batch"
	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/filters/models"
	"github.com/fridaymesh/friday/filters/models/modelstest"
	"github.com/fridaymesh/friday/filters/stream"
	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/config"
)

// parsed is a filter of a chain.
func parsed(t *testing.T, name string, f proxy.Factory, text string) config.Filter {
	t.Helper()
	c, err := f.Parse(filtertest.Any(t, f, text))
	require.NoError(t, err)
	return config.Filter{Name: name, Factory: f, Config: c}
}

// loading is a stand-in that loads when the gate opens.
func loading(t *testing.T, api modelstest.API) (s *modelstest.Server, gate chan struct{}, address string) {
	t.Helper()
	gate = make(chan struct{})
	s = &modelstest.Server{API: api, Refuse: func(what string) int {
		if strings.HasPrefix(what, "load ") {
			<-gate
		}
		return 0
	}}
	up := http2Server(t, s.ServeHTTP)
	return s, gate, up
}

// Callers of either protocol are held by one load and go on together.
func TestModelsHoldCallers(t *testing.T) {
	pairs(t, func(t *testing.T, client *http.Client, p proxy.UpstreamProtocol) {
		t.Cleanup(client.CloseIdleConnections)
		s, gate, up := loading(t, modelstest.OpenInference)
		h := newHouse(t, Options{})
		apply := func(text string) error {
			r := resources(up)
			r.Clusters[0].Protocol = p
			r.Listeners[0].Default.HTTP.Filters = []config.Filter{
				parsed(t, models.Name, models.Factory{}, text), parsed(t, batch.Name, batch.Factory{}, ""), parsed(t, stream.Name, stream.Factory{}, ""),
			}
			return h.Apply(r)
		}
		require.NoError(t, apply(`models {name: "m"}`))
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				body := fmt.Sprintf(`{"inputs":[{"name":"x","shape":[1],"datatype":"INT64","data":[%d]}]}`, i)
				resp, err := client.Post("http://"+h.address()+"/v2/models/m/infer", "application/json", strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				text, err := io.ReadAll(resp.Body)
				if err != nil || resp.StatusCode != http.StatusOK {
					t.Errorf("status %d: %s: %v", resp.StatusCode, text, err)
				}
			})
		}
		require.Eventually(t, func() bool {
			all := h.Models()
			return len(all) == 1 && all[0].Held == 20 && all[0].State == "loading"
		}, 3*patience, time.Millisecond, "%+v", h.Models())
		close(gate)
		wg.Wait()
		require.Equal(t, []string{"load m"}, s.Calls())
		// What is refused does nothing, and what is equal neither.
		require.Error(t, func() error {
			r := resources(up)
			r.Listeners[0].Default.HTTP.Filters = []config.Filter{parsed(t, models.Name, models.Factory{}, `models {name: "other" preload: true}`)}
			r.Listeners = append(r.Listeners, &config.Listener{Name: "bad", Address: "203.0.113.1:1", Default: r.Listeners[0].Default})
			return h.Apply(r)
		}())
		require.NoError(t, apply(`models {name: "m"}`))
		require.Equal(t, []string{"load m"}, s.Calls())
		require.Len(t, h.Models(), 1)
	})
}

// Where the stream filter stands before, a caller of a stream hears heartbeats while its
// model is loaded.
func TestModelsHoldAStreamWithHeartbeats(t *testing.T) {
	_, gate, up := loading(t, modelstest.Ollama)
	h := newHouse(t, Options{})
	r := resources(up)
	r.Listeners[0].Default.HTTP.Filters = []config.Filter{
		parsed(t, stream.Name, stream.Factory{}, `heartbeat {nanos: 100000000}`), parsed(t, models.Name, models.Factory{}, `api: OLLAMA models {name: "m"}`),
	}
	require.NoError(t, h.Apply(r))
	client := caller(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+h.address()+"/api/v1/chat/completions", strings.NewReader(`{"model":"m","stream":true}`))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "text/event-stream")
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	beat := make([]byte, 1)
	_, err = io.ReadFull(resp.Body, beat)
	require.NoError(t, err)
	require.Equal(t, ":", string(beat), "a comment, while the model is not ready")
	require.Equal(t, "loading", h.Models()[0].State)
	close(gate)
	rest, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.True(t, strings.HasSuffix(string(rest), "data: {\"model_name\":\"m\"}\n\ndata: [DONE]\n\n"), "%q", rest)
}
