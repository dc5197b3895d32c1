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

func TestUnbatched(t *testing.T) {
	f := bootstrap.Flags{Upstream: "127.0.0.1:8000", Listen: "127.0.0.1:19080", Admin: "127.0.0.1:19000", NodeID: "n"}
	text, err := edit(t.Context(), f, unbatch)
	require.NoError(t, err)
	require.Contains(t, string(text), `"@type":"type.googleapis.com/friday.filters.http.batch.v1.Batch","disabled":true`)
	file := filepath.Join(t.TempDir(), "bootstrap.json")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	src, err := bootstrap.Load(file)
	require.NoError(t, err)
	b, err := bootstrap.Compile(src, &resource.Parser{Registry: standard.Registry()})
	require.NoError(t, err)
	require.Len(t, b.Static.Listeners, 1)
	require.Equal(t, f.Admin, b.AdminAddress)

	_, err = edit(t.Context(), bootstrap.Flags{Upstream: "https://h"}, unbatch)
	require.ErrorContains(t, err, "https")
	_, err = edit(t.Context(), bootstrap.Flags{XDS: "127.0.0.1:1", NodeID: "n"}, unbatch)
	require.ErrorContains(t, err, "not one batch filter")
}

func TestAddJobs(t *testing.T) {
	f := bootstrap.Flags{Upstream: "127.0.0.1:8000", Listen: "127.0.0.1:19080", Admin: "127.0.0.1:19000", NodeID: "n"}
	text, err := edit(t.Context(), f, func(tree any) error {
		require.Equal(t, 1, addJobs(tree, map[string]any{"sqlitePath": "/tmp/jobs.db"}))
		return nil
	})
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "bootstrap.json")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	src, err := bootstrap.Load(file)
	require.NoError(t, err)
	b, err := bootstrap.Compile(src, &resource.Parser{Registry: standard.Registry()})
	require.NoError(t, err)
	for http := range b.Static.Listeners[0].HTTPs() {
		require.Equal(t, "friday.filters.http.jobs", http.Filters[0].Name)
	}
}
