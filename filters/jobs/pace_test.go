package jobs

import (
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/proxy"
)

// drive has a server answer for a while: rate says how many a second it does of n at once.
func drive(p *pace, now time.Time, d time.Duration, live int, rate func(n int) float64) time.Time {
	for end := now.Add(d); now.Before(end); {
		n := p.allowed(live)
		now = now.Add(time.Duration(float64(time.Second) / rate(n)))
		p.answered(true, now)
	}
	return now
}

func TestPaceClimbs(t *testing.T) {
	for name, c := range map[string]struct {
		rate        func(n int) float64
		least, most int
	}{
		"a server of 40 at once":       {func(n int) float64 { return 100 * math.Min(float64(n), 40) }, 32, 64},
		"one at a time":                {func(int) float64 { return 100 }, 1, 2},
		"the more the better":          {func(n int) float64 { return 10 * float64(n) }, mostLimit, mostLimit},
		"a batcher: a + b·n":           {func(n int) float64 { return float64(n) / (.01 + .0005*float64(n)) }, 32, mostLimit},
		"worse with more than a dozen": {func(n int) float64 { return 1000 / math.Max(1, math.Abs(float64(n)-12)) }, 4, 16},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPace()
			drive(p, time.Now(), time.Minute, 0, c.rate)
			// While it tries it is elsewhere for a moment: what it rests at counts.
			p.mu.Lock()
			limit := p.limit
			if p.before > 0 {
				limit = p.before
			}
			p.mu.Unlock()
			require.GreaterOrEqual(t, limit, c.least)
			require.LessOrEqual(t, limit, c.most)
		})
	}
}

func TestPaceGivesWay(t *testing.T) {
	p := newPace()
	p.fix(20)
	require.Equal(t, 20, p.allowed(0))
	require.Equal(t, 10, p.allowed(5))
	require.Equal(t, 1, p.allowed(500))
	p.refused(time.Now())
	require.Equal(t, 20, p.now(), "what is configured is not learned")
	p.fix(0)
	now := time.Now()
	p.refused(now)
	p.refused(now.Add(time.Millisecond))
	require.Equal(t, firstLimit/2, p.now(), "a burst counts once")
	p = newPace()
	drive(p, time.Now(), 10*time.Second, 1, func(n int) float64 { return 100 * float64(n) })
	require.Equal(t, firstLimit, p.now(), "nothing is learned while callers wait")
}

func TestBackoff(t *testing.T) {
	x := usual()
	for fails, most := range map[int]time.Duration{0: time.Second, 1: 2 * time.Second, 3: 8 * time.Second, 5: 30 * time.Second, 1000: 30 * time.Second} {
		longest := time.Duration(0)
		for range 1000 {
			d := x.backoff(fails, 0)
			require.GreaterOrEqual(t, d, time.Duration(0))
			require.LessOrEqual(t, d, most)
			longest = max(longest, d)
		}
		require.Greater(t, longest, most/2, "full jitter: anything up to the bound")
		require.GreaterOrEqual(t, x.backoff(fails, time.Minute), time.Minute, "no less than the server asks for")
	}
}

func TestAgain(t *testing.T) {
	for status, want := range map[int]bool{200: false, 400: false, 404: false, 408: true, 409: false, 422: false, 429: true, 500: true, 501: false, 502: true, 503: true, 504: true} {
		require.Equal(t, want, again(status), status)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"7": 7 * time.Second, "0": 0, "-3": 0, "soon": 0, "": 0, "100000": mostAsked,
		now.Add(90 * time.Second).Format(http.TimeFormat): 90 * time.Second, now.Add(-time.Hour).Format(http.TimeFormat): 0,
	} {
		require.Equal(t, want, retryAfter(value, now), value)
	}
	require.True(t, unsent(&proxy.Error{Flag: proxy.FlagUpstreamConnection}))
	require.True(t, unsent(&proxy.Error{Flag: proxy.FlagUpstreamReset, Unsent: true}))
	require.False(t, unsent(&proxy.Error{Flag: proxy.FlagUpstreamReset}))
}
