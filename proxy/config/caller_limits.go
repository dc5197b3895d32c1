package config

import "time"

// Limits are what a caller may take of a listener. In all of them 0 is the default
// and [Unlimited], or a number as large, none.
type Limits struct {
	// MaxHeaders bounds the fields of a request's head; beyond it 431. Default 100,
	// as Envoy's.
	MaxHeaders int
	// Underscores is what is done about names such as content_length, which some
	// servers take for content-length.
	Underscores Underscores
	// RequestTimeout is the longest time for a request to arrive whole, from its
	// head's first byte; beyond it 408. Default none.
	RequestTimeout time.Duration
	// StreamIdleTimeout is how long a request and its answer may stand still
	// together: nothing comes from the caller, nothing from the server, and the
	// caller takes nothing. Default 5 min, as Envoy's. A request's body alone may be
	// silent for 5 min at most, also where this is longer.
	StreamIdleTimeout time.Duration
	// MaxConnectionDuration is how old a connection may grow; then it ends after its
	// next answer, or at once where it serves nothing. Default none.
	MaxConnectionDuration time.Duration
	// MaxRequestsPerConnection: a connection ends after so many answers. Default none.
	MaxRequestsPerConnection int
	// DelayedCloseTimeout is how long a caller who is still sending may take to read
	// an answer that came before. Default 1 s, as Envoy's; negative: none.
	DelayedCloseTimeout time.Duration
}

// Unlimited is longer than anything lasts.
const Unlimited = 100 * 365 * 24 * time.Hour

// Underscores is what is done about an underscore in a field's name.
type Underscores int

// What can be done.
const (
	AllowUnderscores Underscores = iota
	RefuseUnderscores
	DropUnderscores
)

func (l Limits) withDefaults() Limits {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&l.RequestTimeout, Unlimited},
		{&l.StreamIdleTimeout, 5 * time.Minute},
		{&l.MaxConnectionDuration, Unlimited},
		{&l.DelayedCloseTimeout, time.Second},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if l.MaxHeaders == 0 {
		l.MaxHeaders = 100
	}
	return l
}
