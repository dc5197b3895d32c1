package load

import "math"

// Zipf asks for what a Workload asks for as it is asked for in life: of Texts requests
// some very often, the k-th as often as 1/k^S says. S is above 1.
type Zipf struct {
	Workload

	Texts uint64
	S     float64
}

var _ Workload = Zipf{}

// AppendBody appends that of the request that is due.
func (z Zipf) AppendBody(dst []byte, n uint64) []byte { return z.Workload.AppendBody(dst, z.Text(n)) }

// Check checks it.
func (z Zipf) Check(n uint64, body []byte) error { return z.Workload.Check(z.Text(n), body) }

// Text is which one of Texts request n asks for, from 0. Equal numbers ask for the same.
func (z Zipf) Text(n uint64) uint64 {
	// SplitMix64, by Vigna (https://prng.di.unimi.it/splitmix64.c): every number is hit.
	x := (n + 1) * 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	u := float64((x^x>>31)>>11) / (1 << 53)
	// The inverse of the distribution whose density is x^-S between 1 and Texts+1.
	e := 1 - z.S
	rank := math.Pow(1+u*(math.Pow(float64(z.Texts)+1, e)-1), 1/e)
	return min(uint64(rank)-1, z.Texts-1)
}

// Repeat asks for the first Of of a Workload's requests, again and again.
type Repeat struct {
	Workload

	Of uint64
}

var _ Workload = Repeat{}

// AppendBody appends that of the request that is due.
func (r Repeat) AppendBody(dst []byte, n uint64) []byte { return r.Workload.AppendBody(dst, n%r.Of) }

// Check checks it.
func (r Repeat) Check(n uint64, body []byte) error { return r.Workload.Check(n%r.Of, body) }
