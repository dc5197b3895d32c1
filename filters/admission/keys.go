package admission

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/fridaymesh/friday/filters/admission/gate"
)

const (
	// maxKeys and maxKeyFile bound a key file.
	maxKeys    = 1 << 18
	maxKeyFile = 64 << 20
	// maxTenantName bounds what tenants are called.
	maxTenantName = 128
	hashed        = "sha256:"
)

// Keys are the API keys of a file, by their hashes. A Keys is immutable.
type Keys struct {
	// byStart has keys by the first bytes of their hashes, which say nothing of a key:
	// what is compared in full is compared in constant time.
	byStart map[[8]byte][]key
	count   int
}

type key struct {
	hash [sha256.Size]byte
	of   *Tenant
}

// Tenant is whose keys are.
type Tenant struct {
	Name string
	// Limits are its own, where Own says that it has any; 0: none of that kind.
	Limits gate.PerMinute
	Own    bool
}

// ParseKeys reads a key file: a key on each line, as its tenant's name, its hash
// (sha256: and 64 hexadecimal digits) and, where the tenant has limits of its own,
// requests_per_minute=N and tokens_per_minute=N (0: no limit), separated by blanks. What
// follows a # at the beginning of a word is a comment. Errors name the line and quote
// nothing of it but names: a key may have been written there by mistake.
func ParseKeys(data []byte) (*Keys, error) {
	if len(data) > maxKeyFile {
		return nil, fmt.Errorf("longer than %d bytes", maxKeyFile)
	}
	k := &Keys{byStart: make(map[[8]byte][]key)}
	tenants := make(map[string]*Tenant)
	at := 0
	for line := range bytes.Lines(data) {
		at++
		fields := strings.Fields(string(line))
		for i, f := range fields {
			if strings.HasPrefix(f, "#") {
				fields = fields[:i]
				break
			}
		}
		if len(fields) == 0 {
			continue
		}
		if err := k.add(fields, tenants); err != nil {
			return nil, fmt.Errorf("line %d: %w", at, err)
		}
	}
	if k.count == 0 {
		return nil, errors.New("no keys")
	}
	return k, nil
}

func (k *Keys) add(fields []string, tenants map[string]*Tenant) error {
	t, err := parseTenant(fields)
	if err != nil {
		return err
	}
	digits, ok := strings.CutPrefix(fields[1], hashed)
	var own key
	if n, err := hex.Decode(own.hash[:], []byte(digits[:min(len(digits), 2*sha256.Size)])); !ok || err != nil || n != sha256.Size || len(digits) != 2*n {
		return errors.New("the second word: must be sha256: and 64 hexadecimal digits")
	}
	if known := tenants[t.Name]; known == nil {
		tenants[t.Name] = t
	} else if *known != *t {
		return errors.New("other limits than on an earlier line of the same tenant")
	}
	own.of = tenants[t.Name]
	start := [8]byte(own.hash[:])
	for _, other := range k.byStart[start] {
		if other.hash == own.hash {
			return errors.New("the same key as on an earlier line")
		}
	}
	if k.count++; k.count > maxKeys {
		return fmt.Errorf("more than %d keys", maxKeys)
	}
	k.byStart[start] = append(k.byStart[start], own)
	return nil
}

func parseTenant(fields []string) (*Tenant, error) {
	if len(fields) < 2 {
		return nil, errors.New("must be a tenant's name and a hash")
	}
	t := &Tenant{Name: fields[0]}
	if len(t.Name) > maxTenantName || strings.ContainsFunc(t.Name, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, fmt.Errorf("the first word: must be a name of up to %d visible characters", maxTenantName)
	}
	seen := make(map[string]bool)
	for i, word := range fields[2:] {
		name, value, _ := strings.Cut(word, "=")
		var into *uint64
		switch name {
		case "requests_per_minute":
			into = &t.Limits.Requests
		case "tokens_per_minute":
			into = &t.Limits.Tokens
		default:
			return nil, fmt.Errorf("word %d: must be requests_per_minute=N or tokens_per_minute=N", i+3)
		}
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil || n > maxPerMinute || seen[name] {
			return nil, fmt.Errorf("%s: must be a number of up to %d, once", name, uint64(maxPerMinute))
		}
		*into, t.Own, seen[name] = n, true, true
	}
	return t, nil
}

// Find is whose a key is; nil where it is nobody's.
func (k *Keys) Find(secret string) *Tenant {
	hash := sha256.Sum256([]byte(secret))
	var found *Tenant
	for _, other := range k.byStart[[8]byte(hash[:])] {
		if subtle.ConstantTimeCompare(hash[:], other.hash[:]) == 1 {
			found = other.of
		}
	}
	return found
}
