package schedule

import "math"

const (
	// forget is how much of the past counts after one more call: about the last
	// fifty say what a and b are.
	forget = 0.98
	// unknownSlope is b/a until calls of different sizes have been seen.
	unknownSlope = 0.1
	// outlier is how many times the fit a call may take and still be believed whole: a
	// pause of the server is not its cost, and a server that has become that much
	// slower is believed a few calls later.
	outlier = 4
	// loose is how far the times may lie from the line, as a share of their mean, for
	// its slope to be believed.
	loose = 0.25
	// driftWeight is the share of the newest call in the drift. Where that passes
	// drifted, the server has become slower or quicker as a whole: what was seen is
	// scaled, for times of before and after lie on no one line.
	driftWeight = 0.15
	drifted     = 0.25
)

// cost fits T(n) = a + b·n, the time that a server takes for a call of n items, by
// least squares with exponentially falling weights. It keeps the six weighted sums
// of the normal equations, so that a call costs a few multiplications.
//
// Calls of one size say nothing about the slope, and under a steady load all calls
// are of one size for minutes. So the slope is drawn, by a ridge term, to the ratio
// b/a that was seen when sizes last differed: where they differ now the data decides,
// where they do not only the scale follows it.
type cost struct {
	w, n, nn, t, nt, tt float64
	// slope is the b/a to fall back on; spread says that it was seen.
	slope  float64
	spread bool
	a, b   float64
	// drift is the moving mean of how much longer than the fit calls take, as a share.
	drift float64
}

// observe takes in one call, in seconds.
func (c *cost) observe(items int, seconds float64) {
	n := float64(items)
	if c.w >= 3 {
		seconds = min(seconds, outlier*c.of(n))
		times := seconds / max(c.of(n), 1e-9)
		c.drift += driftWeight * (min(times-1, 3*drifted) - c.drift)
		if c.drift > drifted || c.drift < -drifted/(1+drifted) {
			c.scale(times)
		}
	}
	c.w = c.w*forget + 1
	c.n = c.n*forget + n
	c.nn = c.nn*forget + n*n
	c.t = c.t*forget + seconds
	c.nt = c.nt*forget + n*seconds
	c.tt = c.tt*forget + seconds*seconds
	c.fit()
}

func (c *cost) fit() {
	mean, took := c.n/c.w, c.t/c.w
	slope := c.slope
	if !c.spread {
		slope = unknownSlope
	}
	prior := took * slope / (1 + slope*mean)
	ridge := 0.1 * mean * mean
	scatter := c.nn - c.w*mean*mean // w × the variance of n
	c.b = max(0, (c.nt-c.w*mean*took+ridge*prior)/(scatter+ridge))
	// Neither term can be negative: noise on a steep or a flat server may say so.
	if c.a = took - c.b*mean; c.a < 0 {
		c.a, c.b = 0, took/mean
	}
	rest := c.tt - 2*c.a*c.t - 2*c.b*c.nt + c.a*c.a*c.w + 2*c.a*c.b*c.n + c.b*c.b*c.nn
	if scatter > ridge && c.w >= 3 && rest < c.w*loose*loose*took*took && math.Abs(c.drift) < drifted/2 {
		c.spread = true
		c.slope = c.b / max(c.a, 1e-9)
	}
}

// known says that something has been seen.
func (c *cost) known() bool { return c.w > 0 }

// of is T(n) in seconds.
func (c *cost) of(n float64) float64 { return c.a + c.b*n }

// scale has what was seen have taken f times as long.
func (c *cost) scale(f float64) {
	c.t *= f
	c.nt *= f
	c.tt *= f * f
	c.a *= f
	c.b *= f
	c.drift = 0
}

// restart has what was seen count little beside what is to come.
func (c *cost) restart() {
	const keep = 0.1
	c.w *= keep
	c.n *= keep
	c.nn *= keep
	c.t *= keep
	c.nt *= keep
	c.tt *= keep
}
