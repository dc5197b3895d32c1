package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRun(t *testing.T) {
	var out, again, errs bytes.Buffer
	require.Zero(t, run([]string{"-only", "quick, 8"}, &out, &errs), errs.String())
	require.Contains(t, out.String(), "quick, 8 callers")
	require.Zero(t, run([]string{"-only", "quick, 8"}, &again, &errs))
	require.Equal(t, out.String(), again.String())
	require.Equal(t, 2, run([]string{"x"}, &out, &errs))
	require.Equal(t, 2, run([]string{"-x"}, &out, &errs))
	require.Zero(t, run([]string{"-h"}, &out, &errs))
}
