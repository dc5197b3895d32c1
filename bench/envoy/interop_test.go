//go:build interop

package envoy

import (
	"errors"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPath(t *testing.T) {
	path, err := PathWith(t.Context(), "", func(s string) { t.Log(s) })
	if errors.Is(err, ErrUnavailable) {
		t.Skipf("SKIPPED: %v", err)
	}
	require.NoError(t, err)
	out, err := exec.CommandContext(t.Context(), path, "--version").CombinedOutput()
	require.NoError(t, err)
	require.Contains(t, string(out), "version:")
	again, err := Path(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, path, again)
}
