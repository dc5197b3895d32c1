package sidecar

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBinaries(t *testing.T) {
	dir := t.TempDir()
	_, err := Binaries(dir)
	require.ErrorContains(t, err, "the program friday is not in "+dir+"; build it first with \"go build -o bin/")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "friday"), nil, 0o600))
	got, err := Binaries(dir)
	require.NoError(t, err)
	require.Equal(t, dir, got)
}
