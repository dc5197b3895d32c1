package jwtauthn

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// Keys verify signatures.
type Keys struct{ all []jose.JSONWebKey }

// ParseKeys reads a JWK Set (RFC 7517 section 5). A key of a kind that is not known is
// passed over; without any other there is an error.
func ParseKeys(text []byte) (*Keys, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("not a JWK Set: %w", err)
	}
	k := new(Keys)
	why := errors.New("no keys in it")
	for i, raw := range set.Keys {
		var key jose.JSONWebKey
		if err := json.Unmarshal(raw, &key); err != nil {
			why = fmt.Errorf("keys[%d]: %w", i, err)
			continue
		}
		if secret, is := key.Key.([]byte); is && len(secret) > 0 {
			k.all = append(k.all, key)
			continue
		}
		if !key.IsPublic() {
			key = key.Public()
		}
		if !key.Valid() {
			why = fmt.Errorf("keys[%d]: not valid", i)
			continue
		}
		k.all = append(k.all, key)
	}
	if len(k.all) == 0 {
		return nil, fmt.Errorf("not a JWK Set: %w", why)
	}
	return k, nil
}

// verify says whether one of the keys has signed t.
func (k *Keys) verify(t *token) Status {
	signed, err := jose.ParseSignedCompact(t.text, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(t.alg)})
	if err != nil {
		return wrong
	}
	s := noKey
	for i := range k.all {
		key := &k.all[i]
		if t.kid != "" && key.KeyID != "" && t.kid != key.KeyID || key.Algorithm != "" && key.Algorithm != t.alg {
			continue
		}
		s = wrong
		// The key's own type decides whether it may verify that algorithm.
		if _, err := signed.Verify(key.Key); err == nil {
			return good
		}
	}
	return s
}
