package envoy

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPathIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("no time"))
	_, err := Path(ctx, t.TempDir())
	require.EqualError(t, err, "no time")
}
