package join

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fridaymesh/friday/xds/control/ca"
)

// Tokens are those that count once, each for one node. A token is a file in a
// folder, named by the token's SHA-256: who reads the folder learns no token. It is
// removed when the sidecar has its certificate, so that a stream that breaks on the
// way has spent nothing; meanwhile nobody else can use it.
type Tokens struct {
	// Set once.
	dir, domain string
	clock       func() time.Time

	mu    sync.Mutex
	inUse map[string]bool // by file name
}

var _ Way = (*Tokens)(nil)

const (
	// prefix begins every token, and tells them from others.
	prefix = "friday-"
	// tokenBytes are random.
	tokenBytes = 32
	// MaxTokenLife bounds how long a token may be good.
	MaxTokenLife = 30 * 24 * time.Hour
)

// ticket is a token's file.
type ticket struct {
	Node    string    `json:"node"`
	Cluster string    `json:"node_cluster,omitempty"`
	Expires time.Time `json:"expires"`
}

// OpenTokens makes the folder where it is not there.
func OpenTokens(dir, domain string) (*Tokens, error) {
	return &Tokens{dir: dir, domain: domain, clock: time.Now, inUse: map[string]bool{}}, os.MkdirAll(dir, 0o700)
}

// ErrRequest says that a token of this kind cannot be made.
var ErrRequest = errors.New("no such token")

// Make makes a token for a node, which is good once, within life.
func (t *Tokens) Make(cluster, node string, life time.Duration) (token string, expires time.Time, err error) {
	if _, err := ca.ForNode(t.domain, cluster, node); err != nil {
		return "", time.Time{}, fmt.Errorf("%w: node %q of cluster %q: letters, digits, dot, - and _ can stand in its SPIFFE id", ErrRequest, node, cluster)
	}
	if life <= 0 || life > MaxTokenLife {
		return "", time.Time{}, fmt.Errorf("%w: life of %s: must be more than 0 and at most %s", ErrRequest, life, MaxTokenLife)
	}
	t.sweep()
	secret := make([]byte, tokenBytes)
	if _, err := rand.Read(secret); err != nil {
		return "", time.Time{}, err
	}
	token = prefix + base64.RawURLEncoding.EncodeToString(secret)
	expires = t.clock().Add(life).UTC().Truncate(time.Second)
	text, err := json.Marshal(ticket{node, cluster, expires})
	if err != nil {
		return "", time.Time{}, err
	}
	return token, expires, os.WriteFile(t.path(name(token)), text, 0o600)
}

func name(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

func (t *Tokens) path(name string) string { return filepath.Join(t.dir, name+".json") }

// Takes knows tokens by how they begin.
func (t *Tokens) Takes(token string) bool { return strings.HasPrefix(token, prefix) }

// Join looks a token up.
func (t *Tokens) Join(_ context.Context, token string) (*Guest, error) {
	file := name(token)
	text, err := os.ReadFile(t.path(file)) // #nosec G304 -- the name is a hash
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: it is unknown, or has been used", ErrRefused)
	}
	var k ticket
	if err == nil {
		err = json.Unmarshal(text, &k)
	}
	if err != nil {
		return nil, fmt.Errorf("a token's file: %w", err)
	}
	if t.clock().After(k.Expires) {
		return nil, fmt.Errorf("%w: it was good until %s", ErrRefused, k.Expires.Format(time.RFC3339))
	}
	id, err := ca.ForNode(t.domain, k.Cluster, k.Node)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.inUse[file] {
		return nil, fmt.Errorf("%w: another stream is using it", ErrRefused)
	}
	t.inUse[file] = true
	return &Guest{ID: id, Settled: func(holds bool) { t.settle(file, holds) }}, nil
}

// settle spends the token where its sidecar holds a certificate.
func (t *Tokens) settle(file string, holds bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !holds || os.Remove(t.path(file)) == nil {
		delete(t.inUse, file)
	} // else it stays in use: a token that cannot be removed must not count twice
}

// sweep removes what has expired.
func (t *Tokens) sweep() {
	entries, err := os.ReadDir(t.dir)
	if err != nil {
		return // making the next one will say so
	}
	for _, e := range entries {
		path := filepath.Join(t.dir, e.Name())
		text, err := os.ReadFile(path) // #nosec G304 -- a file of the folder
		var k ticket
		if err == nil && json.Unmarshal(text, &k) == nil && !k.Expires.IsZero() && t.clock().After(k.Expires) {
			_ = os.Remove(path) // it is refused all the same
		}
	}
}
