package history

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
)

// Version is a set of policies that was served.
type Version struct {
	Number int       `json:"number"`
	Time   time.Time `json:"time"`
	// Origin is why it came to be served, for people.
	Origin string `json:"origin"`
	// Of is the number of the version that this one brought back; 0: none.
	Of int `json:"of,omitempty"`
	// Digest is equal for equal sets.
	Digest   string   `json:"digest"`
	Policies []Policy `json:"policies"`
}

// Policy is one of a version's.
type Policy struct {
	Name string `json:"name"`
	// Version is the digest of what sidecars get.
	Version string `json:"version"`
	// Selector says whom it is for, in one line; empty: everybody.
	Selector string `json:"selector,omitempty"`
	File     string `json:"file"`
	// Text is the policy as it was written.
	Text string `json:"text"`
	// Weights are those that a shift had set, by the route's prefix; empty: the
	// policy's own. What is not named here is as in Text.
	Weights map[string]map[string]uint32 `json:"weights,omitempty"`
}

// Find is the policy of that name; nil: the version has none.
func (v *Version) Find(name string) *Policy {
	for i := range v.Policies {
		if v.Policies[i].Name == name {
			return &v.Policies[i]
		}
	}
	return nil
}

// Digest is that of a set of policies: what sidecars get of it, and which.
func Digest(policies []Policy) string {
	h := sha256.New()
	for _, p := range policies {
		h.Write(fmt.Appendf(nil, "%s %s %q\n", p.Name, p.Version, p.Selector))
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}
