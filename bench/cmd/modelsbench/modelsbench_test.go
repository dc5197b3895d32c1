package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUsedWrongly(t *testing.T) {
	for _, tc := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--rounds", "0"}, 2, "--rounds 0"},
		{[]string{"--call", "0s"}, 2, "--call 0s"},
		{[]string{"--load", "-1s"}, 2, "--load -1s"},
		{[]string{"extra"}, 2, `unexpected argument "extra"`},
		{[]string{"--bin", "/does/not/exist"}, 1, "is not in /does/not/exist"},
	} {
		var out, errs bytes.Buffer
		require.Equal(t, tc.code, run(tc.args, &out, &errs), "%s", tc.args)
		require.Contains(t, errs.String(), tc.says)
	}
}
