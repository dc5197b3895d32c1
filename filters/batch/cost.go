package batch

import "sync"

// forget is how much of the past counts after one more call: about the last
// fifty say what a and b are.
const forget = 0.98

// cost fits T(n) = a + b·n, the service time of a call of n items, by least
// squares with exponentially falling weights. It keeps the five weighted sums of
// the normal equations, so that a call costs a few multiplications.
type cost struct {
	mu              sync.Mutex
	w, n, nn, t, nt float64
}

// observe takes one call in and returns the fit, in seconds; ok is false while
// the sizes seen are too alike to tell a from b.
func (c *cost) observe(items int, seconds float64) (a, b float64, ok bool) {
	n := float64(items)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.w = c.w*forget + 1
	c.n = c.n*forget + n
	c.nn = c.nn*forget + n*n
	c.t = c.t*forget + seconds
	c.nt = c.nt*forget + n*seconds
	spread := c.w*c.nn - c.n*c.n // w² × the weighted variance of n
	if c.w < 3 || spread < 0.01*c.w*c.w {
		return 0, 0, false
	}
	// Neither term can be negative: noise on a steep or a flat server may say so.
	b = max(0, (c.w*c.nt-c.n*c.t)/spread)
	a = max(0, (c.t-b*c.n)/c.w)
	return a, b, true
}
