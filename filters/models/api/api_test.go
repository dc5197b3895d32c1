package api_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/models/api"
	"github.com/fridaymesh/friday/filters/models/modelstest"
	"github.com/fridaymesh/friday/proxy"
)

// started is a client of a stand-in, whose management port is its own.
func started(t *testing.T, s *modelstest.Server) *api.Client {
	t.Helper()
	ts := httptest.NewServer(s)
	t.Cleanup(ts.Close)
	address := ts.Listener.Addr().String()
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	n, err := strconv.ParseUint(port, 10, 16)
	require.NoError(t, err)
	e := &proxy.Endpoint{Address: address, Handler: modelstest.Handler(s)}
	return &api.Client{Endpoint: e, Management: uint32(n), Health: "/health"}
}

func TestEachAPI(t *testing.T) {
	for _, c := range []struct {
		api   modelstest.API
		model api.Model
		base  string // is there by itself
	}{
		{modelstest.OpenInference, api.Model{Name: "m"}, ""},
		{modelstest.TorchServe, api.Model{Name: "m"}, ""},
		{modelstest.Ollama, api.Model{Name: "m"}, ""},
		{modelstest.Ollama, api.Model{Name: "m:latest"}, ""},
		{modelstest.VLLM, api.Model{Name: "base"}, ""},
		{modelstest.VLLM, api.Model{Name: "m", Path: "/lora"}, "base"},
		{modelstest.LlamaCpp, api.Model{Name: "a"}, ""},
	} {
		t.Run(string(c.api)+" "+c.model.Name, func(t *testing.T) {
			s := &modelstest.Server{API: c.api}
			if c.base != "" {
				s.Set(c.base, true)
			}
			client := started(t, s)
			a, err := api.Probe(t.Context(), client)
			require.NoError(t, err)
			require.Equal(t, string(c.api), a.Name())
			require.Equal(t, a, api.Named(string(c.api)))
			state := func() api.State {
				r, err := a.Status(t.Context(), client, c.model)
				require.NoError(t, err)
				return r.State
			}
			require.Equal(t, api.Unloaded, state())
			require.NoError(t, a.Load(t.Context(), client, c.model))
			require.Eventually(t, func() bool { return state() == api.Ready }, 30*time.Second, time.Millisecond)
			require.NoError(t, a.Unload(t.Context(), client, c.model))
			require.Equal(t, api.Unloaded, state())
		})
	}
}

func TestRefusalsAreTold(t *testing.T) {
	for _, kind := range []modelstest.API{modelstest.OpenInference, modelstest.TorchServe, modelstest.Ollama, modelstest.VLLM} {
		s := &modelstest.Server{API: kind, Refuse: func(string) int { return http.StatusInternalServerError }}
		s.Set("base", true)
		client := started(t, s)
		a := api.Named(string(kind))
		require.ErrorContains(t, a.Load(t.Context(), client, api.Model{Name: "m", Path: "/p"}), "status 500", kind)
		require.ErrorContains(t, a.Unload(t.Context(), client, api.Model{Name: "m"}), "status 500", kind)
	}
	client := started(t, &modelstest.Server{API: modelstest.LlamaCpp})
	require.ErrorContains(t, api.LlamaCpp{}.Load(t.Context(), client, api.Model{Name: "x"}), "model not found")
	r, err := api.LlamaCpp{}.Status(t.Context(), client, api.Model{Name: "x"})
	require.NoError(t, err)
	require.Equal(t, api.Report{State: api.Unloaded, Reason: "the router has no such model"}, r)
}

func TestHealthIsAllThereIs(t *testing.T) {
	s := &modelstest.Server{API: modelstest.Health}
	client := started(t, s)
	a, err := api.Probe(t.Context(), client)
	require.NoError(t, err)
	require.Equal(t, api.Health{}, a)
	r, err := a.Status(t.Context(), client, api.Model{Name: "m"})
	require.NoError(t, err)
	require.Equal(t, api.Loading, r.State)
	require.Contains(t, r.Reason, "status 503: loading")
	require.NoError(t, a.Load(t.Context(), client, api.Model{Name: "m"}))
	s.Set("m", true)
	r, err = a.Status(t.Context(), client, api.Model{Name: "m"})
	require.NoError(t, err)
	require.Equal(t, api.Ready, r.State)
	require.ErrorIs(t, a.Unload(t.Context(), client, api.Model{Name: "m"}), api.ErrCannot)
}

// A server that cannot be asked is none of any kind.
func TestProbeNeedsAnAnswer(t *testing.T) {
	down := proxy.HandlerFunc(func(context.Context, *proxy.Request) (*proxy.Response, error) {
		return nil, &proxy.Error{Status: 503, Flag: proxy.FlagUpstreamConnection, Unsent: true}
	})
	_, err := api.Probe(t.Context(), &api.Client{Endpoint: &proxy.Endpoint{Address: "127.0.0.1:1", Handler: down}})
	require.ErrorContains(t, err, "UF")
}

func TestPin(t *testing.T) {
	for target, want := range map[string]string{
		"/v2/models/m/infer":            "/v2/models/m/versions/3/infer",
		"/p/v2/models/m/infer?a=/v2/":   "/p/v2/models/m/versions/3/infer?a=/v2/",
		"/v2/models/m":                  "/v2/models/m/versions/3",
		"/predictions/m":                "/predictions/m/3",
		"/predictions/m?x=1":            "/predictions/m/3?x=1",
		"/predictions/m/2":              "",
		"/v2/models/m/versions/1/infer": "",
		"/v2/models/mm/infer":           "",
		"/v1/chat/completions":          "",
		"/x?/v2/models/m/infer":         "",
	} {
		got, ok := api.Pin(target, "m", "3")
		require.Equal(t, want != "", ok, target)
		if ok {
			require.Equal(t, want, got)
		}
	}
}

// What servers answer is nobody's to trust.
func FuzzStatus(f *testing.F) {
	f.Add(uint8(0), `[{"name":"m","state":"LOADING"}]`)
	f.Add(uint8(1), `[{"workers":[{"status":"READY"}]}]`)
	f.Add(uint8(2), `{"models":[{"name":"m:latest"}]}`)
	f.Add(uint8(3), `{"data":[{"id":"m"}]}`)
	f.Add(uint8(4), `{"data":[{"id":"m","status":{"value":"loaded"}}]}`)
	f.Fuzz(func(t *testing.T, kind uint8, answer string) {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if len(r.URL.Path)%2 == 0 {
				w.WriteHeader(http.StatusNotFound)
			}
			_, _ = w.Write([]byte(answer))
		})
		client := &api.Client{Endpoint: &proxy.Endpoint{Address: "127.0.0.1:1", Handler: modelstest.Handler(h)}, Health: "/health"}
		all := []api.API{api.OpenInference{}, api.Ollama{}, api.VLLM{}, api.LlamaCpp{}, api.Health{}}
		r, err := all[int(kind)%len(all)].Status(t.Context(), client, api.Model{Name: "m"})
		if err == nil {
			require.Contains(t, []string{"unloaded", "loading", "ready", "failed"}, r.State.String())
		}
	})
}
