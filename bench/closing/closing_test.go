package closing

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Callers who come straight meet what is not meant to reach them through a sidecar;
// those who do not pause meet nothing.
func TestServerAndCallers(t *testing.T) {
	s := &Server{Least: time.Millisecond, Most: 2 * time.Millisecond}
	require.NoError(t, s.Listen(t.Context(), "127.0.0.1:0"))
	defer func() { require.NoError(t, s.Close()) }()
	c := &Callers{Address: s.Address(), Number: 2, Burst: 5, Pause: 20 * time.Millisecond}
	require.NoError(t, c.Run(t.Context(), 200))
	require.GreaterOrEqual(t, c.Done.Load(), int64(200))
	require.Positive(t, s.Closed.Load())
	require.Positive(t, c.Errors.Load())
	require.NotEmpty(t, c.First())

	calm := &Server{Least: time.Hour, Most: time.Hour}
	require.NoError(t, calm.Listen(t.Context(), "127.0.0.1:0"))
	defer func() { require.NoError(t, calm.Close()) }()
	c = &Callers{Address: calm.Address(), Number: 4, Slow: 1, Pause: time.Millisecond}
	require.NoError(t, c.Run(t.Context(), 400))
	require.Zero(t, c.Errors.Load())
	require.EqualValues(t, 5, calm.Accepted.Load())
}
