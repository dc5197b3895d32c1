package version

import (
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDescribe(t *testing.T) {
	commit := []debug.BuildSetting{
		{Key: "vcs.revision", Value: "0123456789abcdef0123"},
		{Key: "vcs.modified", Value: "true"},
	}
	for _, c := range []struct {
		name, release string
		info          debug.BuildInfo
		want          string
	}{
		{"nothing known", "", debug.BuildInfo{}, "dev"},
		{"a working tree", "", debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, "dev"},
		{"a working tree with its commit", "", debug.BuildInfo{Settings: commit}, "dev+0123456789ab-dirty"},
		{"go install", "", debug.BuildInfo{Main: debug.Module{Version: "v0.2.0"}}, "v0.2.0"},
		{"a release", "v0.1.0", debug.BuildInfo{Settings: commit}, "v0.1.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.want, describe(c.release, &c.info))
		})
	}
}

func TestLong(t *testing.T) {
	require.Contains(t, Long(), String())
	require.Contains(t, Long(), "go1.")
}
