package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUsedWrongly(t *testing.T) {
	for _, args := range [][]string{{"--no"}, {"more"}, {"--cell", "0s"}, {"--callers", "0"}, {"--times", "-1"}} {
		var out, errs bytes.Buffer
		require.Equal(t, 2, run(args, &out, &errs), args)
		require.Contains(t, errs.String(), "overloadbench")
		require.Empty(t, out.String())
	}
}
