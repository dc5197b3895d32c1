package upstream

import (
	"bufio"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
)

func TestLife(t *testing.T) {
	t.Parallel()
	const s, ms = time.Second, time.Millisecond
	type seen struct{ at, age time.Duration }
	for name, tc := range map[string]struct {
		configured time.Duration
		told       int
		seen       []seen
		asked      time.Duration // when
		usable     time.Duration
		keep       time.Duration
	}{
		"nothing known":              {usable: 4 * s, keep: 4 * s},
		"configured":                 {configured: 9 * s, usable: 9 * s, keep: 9 * s},
		"told":                       {told: 5, usable: 4 * s, keep: 4 * s},
		"told more than the default": {told: 75, usable: 74 * s, keep: 74 * s},
		"told for ever":              {told: 1 << 30, usable: longestTold, keep: longestTold},
		"told nothing at all":        {told: 0, configured: 0, usable: 4 * s, keep: 4 * s},
		"told little":                {told: 1, usable: 750 * ms, keep: 750 * ms},
		"configured less than told":  {told: 75, configured: 2 * s, usable: 2 * s, keep: 2 * s},
		"told less than configured":  {told: 3, configured: 60 * s, usable: 2250 * ms, keep: 2250 * ms},
		"one ending is an accident":  {seen: []seen{{s, 10 * ms}}, asked: s, usable: 4 * s, keep: 4 * s},
		"two are a rule":             {seen: []seen{{s, 500 * ms}, {2 * s, 600 * ms}}, asked: 2 * s, usable: 540 * ms, keep: 4 * s},
		"the second least counts":    {seen: []seen{{s, 3 * s}, {2 * s, 20 * ms}, {3 * s, 500 * ms}, {4 * s, 2 * s}}, asked: 4 * s, usable: 450 * ms, keep: 4 * s},
		"a restart is one ending":    {seen: []seen{{s, 10 * ms}, {s + ms, 3 * s}, {s + 2*ms, 20 * ms}}, asked: 2 * s, usable: 4 * s, keep: 4 * s},
		"two restarts are late":      {seen: []seen{{s, 10 * ms}, {s + ms, 3 * s}, {9 * s, 3900 * ms}}, asked: 9 * s, usable: 3510 * ms, keep: 4 * s},
		"what was is forgotten":      {seen: []seen{{s, 10 * ms}, {2 * s, 20 * ms}}, asked: 130 * s, usable: 4 * s, keep: 4 * s},
		"no longer than configured":  {configured: s, seen: []seen{{s, 2 * s}, {2 * s, 2 * s}}, asked: 2 * s, usable: s, keep: s},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			l := life{configured: tc.configured}
			if tc.told > 0 {
				l.tell(tc.told)
			}
			for _, e := range tc.seen {
				l.see(begin.Add(e.at), e.age)
			}
			l.forget(begin.Add(tc.asked))
			require.Equal(t, tc.usable, l.usable())
			require.Equal(t, tc.keep, l.keep())
		})
	}
}

// What is remembered does not grow.
func TestLifeIsBounded(t *testing.T) {
	t.Parallel()
	var l life
	begin := time.Now()
	for i := range 10 * endings {
		l.see(begin.Add(time.Duration(i)*oneMoment), time.Second)
	}
	require.Len(t, l.seen, endings)
	require.Equal(t, 900*time.Millisecond, l.usable())
}

func TestKeepAliveField(t *testing.T) {
	t.Parallel()
	for field, want := range map[string]int{
		"Keep-Alive: timeout=5":              5,
		"keep-alive: timeout=72":             72,
		"Keep-Alive: timeout=5, max=100":     5,
		"Keep-Alive: max=100 , Timeout = 15": 15,
		`Keep-Alive: timeout="5"`:            5,
		"Keep-Alive: timeout=0":              0,
		"Keep-Alive: timeout=-1":             -1,
		"Keep-Alive: timeout=99999999999":    -1,
		"Keep-Alive: timeout":                -1,
		"Keep-Alive: 5":                      -1,
		"X: timeout=5":                       -1,
	} {
		var h fasthttp.ResponseHeader
		h.DisableNormalizing()
		require.NoError(t, h.Read(bufio.NewReader(strings.NewReader("HTTP/1.1 200 OK\r\n"+field+"\r\nContent-Length: 0\r\n\r\n"))))
		n, ok := keepAlive(&h)
		require.Equal(t, want >= 0, ok, field)
		if ok {
			require.Equal(t, want, n, field)
		}
	}
}
