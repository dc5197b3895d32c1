package peer_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/peer"
	"github.com/fridaymesh/friday/bench/process"
)

// Those that come with the system; Envoy has to be downloaded first.
func TestPeersPass(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	}))
	defer server.Close()
	for _, p := range peer.Peers() {
		if p.Name == "envoy" {
			continue
		}
		t.Run(p.Name, func(t *testing.T) {
			group, err := process.NewGroup(t.TempDir())
			require.NoError(t, err)
			defer group.Close()
			addresses, err := process.FreeAddresses(0)
			require.NoError(t, err)
			run, err := p.Start(t.Context(), group, strings.TrimPrefix(server.URL, "http://"), addresses[0], func(string) {})
			if errors.Is(err, peer.ErrUnavailable) {
				t.Skip(err)
			}
			require.NoError(t, err, group.Tails(20))
			answer, err := post(t.Context(), "http://"+addresses[0]+"/echo", "hello")
			require.NoError(t, err)
			require.Equal(t, "hello", answer)
			require.Positive(t, run.Memory())
		})
	}
}

func post(ctx context.Context, url, body string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}
