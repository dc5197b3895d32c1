package gate

import (
	"math"
	"time"
)

// PerMinute are a tenant's limits; 0: none.
type PerMinute struct{ Requests, Tokens uint64 }

// Allowance is what a tenant has left of its limits: two buckets that hold as much as may
// be asked for in a minute, and fill evenly. The zero value is full.
type Allowance struct{ requests, tokens bucket }

// Used is an allowance of which so much is used now.
func Used(now Instant, requests, tokens float64) Allowance {
	return Allowance{bucket{requests, now}, bucket{tokens, now}}
}

// bucket has used what has not been filled up since.
type bucket struct {
	used float64
	at   Instant
}

// Kind is one of the two limits.
type Kind uint8

// The kinds.
const (
	None Kind = iota
	Requests
	Tokens
)

// Never is the wait for what is more than a limit allows at once.
const Never = time.Duration(math.MaxInt64)

// Take takes a request of so many tokens, or nothing where there is not enough left: of
// the kind that is short, after which time there will be.
func (a *Allowance) Take(now Instant, limits PerMinute, tokens int64) (short Kind, after time.Duration) {
	a.fill(now, limits)
	r, t := a.requests.wait(1, limits.Requests), a.tokens.wait(float64(tokens), limits.Tokens)
	switch {
	case t > r:
		return Tokens, t
	case r > 0:
		return Requests, r
	}
	if limits.Requests > 0 {
		a.requests.used++
	}
	if limits.Tokens > 0 {
		a.tokens.used += float64(tokens)
	}
	return None, 0
}

// Return gives back what was taken for a request that was not let in.
func (a *Allowance) Return(limits PerMinute, tokens int64) {
	if limits.Requests > 0 {
		a.requests.used = max(0, a.requests.used-1)
	}
	if limits.Tokens > 0 {
		a.tokens.used = max(0, a.tokens.used-float64(tokens))
	}
}

// Left is what could be taken just now of a kind, and when there will be all of it again.
func (a *Allowance) Left(now Instant, limits PerMinute, kind Kind) (left uint64, reset time.Duration) {
	a.fill(now, limits)
	b, most := &a.requests, limits.Requests
	if kind == Tokens {
		b, most = &a.tokens, limits.Tokens
	}
	if most == 0 {
		return 0, 0
	}
	return uint64(max(0, float64(most)-b.used)), minutes(b.used / float64(most))
}

// Full says that nothing is used: to forget it changes nothing.
func (a *Allowance) Full(now Instant, limits PerMinute) bool {
	a.fill(now, limits)
	return a.requests.used == 0 && a.tokens.used == 0
}

func (a *Allowance) fill(now Instant, limits PerMinute) {
	a.requests.fill(now, limits.Requests)
	a.tokens.fill(now, limits.Tokens)
}

func (b *bucket) fill(now Instant, most uint64) {
	if now > b.at {
		b.used = max(0, b.used-float64(most)*(now-b.at).Minutes())
		b.at = now
	}
}

// wait is how long it takes until n may be taken.
func (b *bucket) wait(n float64, most uint64) time.Duration {
	const rounding = 1e-9
	switch short := b.used + n - float64(most); {
	case most == 0, short <= rounding:
		return 0
	case n > float64(most):
		return Never
	default:
		return max(1, minutes(short/float64(most)))
	}
}

func minutes(n float64) time.Duration { return time.Duration(math.Ceil(n * float64(time.Minute))) }
