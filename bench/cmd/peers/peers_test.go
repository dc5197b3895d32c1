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
		{[]string{"--streams", "0"}, 2, `--streams: "0" is no number above 0`},
		{[]string{"--rounds", "0"}, 2, "must be above 0"},
		{[]string{"--tables", "whole,half"}, 2, `--tables: "half" is none of whole, rate, streams, paced`},
		{[]string{"extra"}, 2, `unexpected argument "extra"`},
		{[]string{"--bin", "/does/not/exist"}, 1, "the program friday is not in /does/not/exist"},
	} {
		var out, errs bytes.Buffer
		require.Equal(t, tc.code, run(tc.args, &out, &errs), "%v", tc.args)
		require.Contains(t, errs.String(), tc.says)
	}
}
