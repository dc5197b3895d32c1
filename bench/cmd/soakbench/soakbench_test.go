package main

import (
	"bytes"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestUsedWrongly(t *testing.T) {
	for _, args := range [][]string{{"--no"}, {"more"}, {"--minutes", "0"}, {"--every", "1ms"}, {"--share", "2"}} {
		var out, errs bytes.Buffer
		require.Equal(t, 2, run(args, &out, &errs), args)
		require.Contains(t, errs.String(), "soakbench:")
	}
}

// What grows is told from what only moves.
func TestJudge(t *testing.T) {
	looks := func(perHour float64) (out []look) {
		for i := range 160 {
			at := time.Duration(i) * 10 * time.Second
			l := look{at: at, anonymous: 50 + perHour*at.Hours() + 3*math.Sin(float64(i)), goroutines: 14, descriptors: 30, heap: 30, stacks: 1}
			out = append(out, l)
		}
		return out
	}
	for _, c := range []struct {
		perHour float64
		grows   bool
	}{{0, false}, {-20, false}, {20, true}, {50, true}} {
		var out bytes.Buffer
		b := &bench{options: &options{minutes: 27, share: .7}, out: &out}
		broken := b.judge(looks(c.perHour))
		if c.grows {
			require.Len(t, broken, 1, out.String())
			require.ErrorContains(t, broken[0], "memory of its own grows")
			continue
		}
		require.Empty(t, broken, out.String())
	}
	picture := plot("a <title>", looks(0))
	require.Contains(t, picture, "a &lt;title&gt;")
	require.Contains(t, picture, "<polyline")
}

func TestKibi(t *testing.T) {
	const status = "Name:\tfriday\nVmRSS:\t  100 kB\nRssAnon:\t   52 kB\n"
	require.InDelta(t, 52, kibi(status, "RssAnon:"), 0)
	require.Zero(t, kibi(status, "RssFile:"))
}
