package sidecar

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/standard"
	"github.com/fridaymesh/friday/xds/bootstrap"
	"github.com/fridaymesh/friday/xds/resource"
)

func TestCached(t *testing.T) {
	f := bootstrap.Flags{Upstream: "127.0.0.1:8000", Listen: "127.0.0.1:19080", Admin: "127.0.0.1:19000", NodeID: "n"}
	text, err := cached(t.Context(), f, `{"ttl":"60s","shared":{"address":"127.0.0.1:6379"}}`)
	require.NoError(t, err)
	require.Contains(t, string(text), `"address":"127.0.0.1:6379"`)
	file := filepath.Join(t.TempDir(), "bootstrap.json")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	src, err := bootstrap.Load(file)
	require.NoError(t, err)
	_, err = bootstrap.Compile(src, &resource.Parser{Registry: standard.Registry()})
	require.NoError(t, err)

	_, err = cached(t.Context(), f, "x")
	require.ErrorContains(t, err, "settings")
	_, err = cached(t.Context(), bootstrap.Flags{XDS: "127.0.0.1:1", NodeID: "n"}, "{}")
	require.ErrorContains(t, err, "not one batch filter")
}
