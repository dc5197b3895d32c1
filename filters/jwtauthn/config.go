package jwtauthn

import (
	"time"

	"github.com/fridaymesh/friday/proxy/router"
)

// Metadata is the namespace of what tokens claim, in [proxy.Request.Metadata].
const Metadata = "envoy.filters.http.jwt_authn"

// Config is what requests must carry.
type Config struct {
	// Rules has what the first rule that matches a request requires; nil: no rule does.
	Rules *router.Table[*Requirement]
	// Providers are all that are named.
	Providers []*Provider
	// Named are requirements that routes refer to.
	Named map[string]*Requirement
	// Preflights lets a CORS preflight pass without a token.
	Preflights bool
	// Terse leaves the reason out of answers.
	Terse bool
	// Route is what a route says in place of the rules; nil: nothing.
	Route *Route
}

// Route is a route's own.
type Route struct {
	Disabled bool
	// Requirement is a name of Config.Named.
	Requirement string
}

// Requirement is what a request must carry. One field is set; none of them: nothing.
type Requirement struct {
	// Provider's token; Audiences, where there are any, take the place of its own.
	Provider  *Provider
	Audiences []string
	// Any of them, All of them.
	Any, All []*Requirement
	// Missing: a token may be missing. Failed: it may be wrong, too. Of are the providers
	// whose tokens are looked for.
	Missing, Failed bool
	Of              []*Provider
}

// Provider is who issues tokens.
type Provider struct {
	Name string
	// Issuer is what iss must be; empty: anything.
	Issuer string
	// Subject, where not nil, is what sub must be.
	Subject *router.StringMatch
	// Audiences are those of which aud must have one; empty: anything.
	Audiences []string
	// Local are the keys, or Remote tells them.
	Local  *Keys
	Remote *Remote

	// Headers, Params and Cookies are where tokens stand; all empty: the header
	// authorization behind "Bearer ", and the query parameter access_token.
	Headers         []Header
	Params, Cookies []string

	// Forward leaves the token in the request.
	Forward bool
	// PayloadHeader is the header that gets the payload as it stands in the token, in
	// base64url; PadPayload pads it to whole groups.
	PayloadHeader string
	PadPayload    bool
	// Claims are headers that get claims.
	Claims []Claim
	// PayloadKey, HeaderKey and StatusKey are keys of the metadata; empty: none.
	PayloadKey, HeaderKey, StatusKey string
	// Lists are claims whose words, separated by spaces, become a list in the metadata.
	Lists []string

	// Skew is by how much clocks may differ.
	Skew time.Duration
	// Expires: a token must have exp. MaxLifetime is the longest time from iat, or from
	// now, to exp; 0: any.
	Expires     bool
	MaxLifetime time.Duration
}

// Header is a header with a token behind a prefix.
type Header struct{ Name, Prefix string }

// Claim is a header that gets a claim: by its name, of which dots lead into objects, or by
// the path of names that leads to it.
type Claim struct {
	Header, Name string
	Path         []string
}

// Remote is a server that tells keys (a JWK Set, RFC 7517 section 5).
type Remote struct {
	// Host and Path are of the URI; Cluster leads there.
	Host, Path, Cluster string
	// Timeout bounds one question.
	Timeout time.Duration
	// Fresh is how long keys are remembered.
	Fresh time.Duration
	// Ahead asks before any request needs the keys, and again before they are too old;
	// Again is after how long where that failed.
	Ahead bool
	Again time.Duration
	// Retries is how often a question that failed is asked again at once, after a pause
	// from Base, twice as long each time, to Most.
	Retries    int
	Base, Most time.Duration
}
