package router

import "regexp"

// Match says which requests a route takes. Of Prefix, Path, Separated and Regex exactly
// one is set; the conditions after them must all hold. The words and their meaning
// are Envoy's (config.route.v3.RouteMatch).
type Match struct {
	// Prefix matches the beginning of the path, Path all of it, Separated all of it or
	// the beginning up to a "/"; none sees the query. An empty Prefix is written "/".
	Prefix, Path, Separated string
	// IgnoreCase is for these.
	IgnoreCase bool
	// Regex must match the whole path, without the query.
	Regex *regexp.Regexp

	Headers []HeaderMatch
	Query   []QueryMatch
	Cookies []CookieMatch
	// GRPC takes requests of the content type application/grpc only.
	GRPC bool
	// Share, where not nil, takes so many requests of a million, at random.
	Share *uint32
}

// CookieMatch is a condition on the first cookie of a name; a request without it fails
// it, unless inverted.
type CookieMatch struct {
	Name   string
	Value  *StringMatch
	Invert bool
}

// Range is of whole numbers, half open.
type Range struct{ Start, End int64 }

// HeaderMatch is a condition on one header. The pseudo-headers :method, :path
// and :authority may be named. Of several lines of one header, one must match (inverted:
// none may).
type HeaderMatch struct {
	Name string
	// Value is nil where Present or Range is asked for.
	Value *StringMatch
	// Range takes whole numbers within it.
	Range *Range
	// Present asks, where Value is nil, for the header to be there or not.
	Present bool
	// Invert turns the outcome round. TreatMissingAsEmpty compares an absent
	// header as an empty one; without it an absent header fails Value, also
	// inverted (Envoy's rule).
	Invert, TreatMissingAsEmpty bool
}

// QueryMatch is a condition on the first query parameter of a name. Name and
// value are compared as they stand in the target, not percent decoded, as Envoy
// does.
type QueryMatch struct {
	Name string
	// Value is nil where Present is asked for.
	Value   *StringMatch
	Present bool
}

// StringMatch compares a string in one way (type.matcher.v3.StringMatcher).
type StringMatch struct {
	Kind       StringKind
	Text       string         // for all kinds but Regex
	Regex      *regexp.Regexp // must match the whole string
	IgnoreCase bool           // not for Regex
}

// StringKind is the way that a StringMatch compares.
type StringKind int

// The ways of comparing.
const (
	Exact StringKind = iota
	Prefix
	Suffix
	Contains
	Regex
)
