package friday_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The image is the program: what is linked into it is pulled by every node. One call of
// reflect's MethodByName with a name that the linker does not know costs 17 MB of it
// (`go build -ldflags=-dumpdep ./cmd/friday 2>&1 | grep ReflectMethod` says whose).
func TestTheProgramIsSmall(t *testing.T) {
	if testing.Short() {
		t.Skip("links a program")
	}
	out := filepath.Join(t.TempDir(), "friday")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-tags", "grpcnotrace", "-ldflags", "-s -w", "-o", out, "./cmd/friday")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	said, err := build.CombinedOutput()
	require.NoError(t, err, string(said))
	info, err := os.Stat(out)
	require.NoError(t, err)
	require.Less(t, info.Size(), int64(40_000_000))
}
