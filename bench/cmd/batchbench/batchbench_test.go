package main

import (
	"bytes"
	"flag"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/load"
)

func TestOptimum(t *testing.T) {
	o, err := parse(flag.NewFlagSet("", flag.ContinueOnError), nil)
	require.NoError(t, err)
	b := &bench{options: o}
	require.InDelta(t, 1/0.0105, b.optimum(1), 1e-6)
	require.InDelta(t, 8/0.014, b.optimum(8), 1e-6)
	require.InDelta(t, 32/0.026, b.optimum(64), 1e-6)
	o.maxBatch = 64
	require.InDelta(t, 64/0.042, b.optimum(64), 1e-6)
}

func TestSide(t *testing.T) {
	r := &load.Result{}
	s := &side{}
	require.Equal(t, "–", s.mean())
	require.Equal(t, "–", s.perRequest(r))
	r.Latency.Add(time.Second)
	r.Latency.Add(time.Second)
	s = &side{calls: 2, items: 9, cpu: 50 * time.Microsecond}
	require.Equal(t, "4.5", s.mean())
	require.Equal(t, "25", s.perRequest(r))
}

func TestUsedWrongly(t *testing.T) {
	for _, tc := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--streams", "0"}, 2, `--streams: "0" is no number above 0`},
		{[]string{"--duration", "0s"}, 2, "must be above 0"},
		{[]string{"--leave", "2"}, 2, "--leave 2, --poison 0: must be from 0 to 1"},
		{[]string{"--hold-for", "1ms"}, 2, "--hold-for 1ms: must be at least 1s"},
		{[]string{"extra"}, 2, `unexpected argument "extra"`},
		{[]string{"--bin", "/does/not/exist"}, 1, "the program friday is not in /does/not/exist"},
	} {
		var out, errs bytes.Buffer
		require.Equal(t, tc.code, run(tc.args, &out, &errs), "%v", tc.args)
		require.Contains(t, errs.String(), tc.says)
	}
}
