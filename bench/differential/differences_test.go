//go:build interop

package differential

import "net/http"

// difference is something in which the two may differ. docs/envoy.md has the same list.
type difference struct {
	reason string
	// everywhere: in every case, not only in those that allow it.
	everywhere bool
	// forgive takes the difference out of one side's outcome, and says whether it was
	// there.
	forgive func(side string, o *outcome) bool
}

// differences by name.
func differences() map[string]difference {
	return map[string]difference{
		"x-forwarded-proto": {
			reason:     "Friday adds nothing that the configuration does not ask for; Envoy always tells the server the scheme",
			everywhere: true,
			forgive: func(side string, o *outcome) bool {
				return side == "envoy" && dropSeen(o, "X-Forwarded-Proto")
			},
		},
	}
}

// dropSeen drops a field from what the endpoints saw.
func dropSeen(o *outcome, name string) (there bool) {
	for i := range o.Seen {
		there = there || o.Seen[i].Header[http.CanonicalHeaderKey(name)] != nil
		o.Seen[i].Header.Del(name)
	}
	return there
}

// dropSent drops a field from what the caller got.
func dropSent(o *outcome, name string) (there bool) {
	there = o.Header[http.CanonicalHeaderKey(name)] != nil
	o.Header.Del(name)
	return there
}

var _ = dropSent
