package cache

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/fridaymesh/friday/proxy/redis"
	cachev1 "github.com/fridaymesh/friday/xds/api/friday/filters/http/cache/v1"
	"github.com/fridaymesh/friday/xds/api/settings"
)

// The defaults of [cachev1.Cache], and what bounds its fields.
const (
	defaultMaxBytes = 64 << 20
	minMaxBytes     = 64 << 10
	maxMaxBytes     = math.MaxInt64
	defaultTTL      = time.Hour
	maxReplayGap    = 10 * time.Second
)

// The protocols as a configuration names them.
const (
	completions = "openai_completions"
	chat        = "openai_chat"
)

func defaultProtocols() []string { return []string{"cohere", "openai", chat, completions, "tei"} }

// Config is a parsed [cachev1.Cache] with the defaults filled in. It is immutable.
type Config struct {
	// MaxBytes is how much is kept.
	MaxBytes int64
	// TTL is how long an answer is given again, and StaleIfError how long after that
	// where the server fails; 0: not.
	TTL, StaleIfError time.Duration
	// StaleWhileRevalidate is how long after TTL an answer is given while it is asked for
	// anew; 0: not.
	StaleWhileRevalidate time.Duration
	// ReplayGap is between the events of a stream that is given again.
	ReplayGap   time.Duration
	Determinism cachev1.Cache_Determinism
	// TenantHeaders are names in lower case, sorted.
	TenantHeaders []string
	Usage         cachev1.Cache_Usage
	Coalesce      bool
	Disabled      bool
	// Protocols are the names that filters/inference uses, and those of this package,
	// sorted.
	Protocols []string
	// Shared is the second tier; nil: none.
	Shared *redis.Options
	// Persist keeps it all across restarts.
	Persist bool
}

// parse is the factory's Parse on the message itself.
func parse(m *cachev1.Cache) (*Config, error) {
	if err := settings.RefuseUnknown(m.ProtoReflect()); err != nil {
		return nil, err
	}
	c := &Config{
		MaxBytes: defaultMaxBytes, Disabled: m.GetDisabled(), Determinism: m.GetDeterminism(), Usage: m.GetUsage(),
		Persist:  m.GetPersist(),
		Coalesce: m.GetCoalesce() == nil || m.GetCoalesce().GetValue(),
	}
	if v := m.GetMaxBytes(); v != nil {
		if v.GetValue() < minMaxBytes || v.GetValue() > maxMaxBytes {
			return nil, fmt.Errorf("max_bytes: %d: must be at least %d", v.GetValue(), minMaxBytes)
		}
		c.MaxBytes = int64(v.GetValue()) // #nosec G115 -- bounded
	}
	var err error
	if c.TTL, err = settings.Duration("ttl", m.GetTtl(), defaultTTL); err != nil {
		return nil, err
	}
	if c.TTL == 0 {
		return nil, errors.New("ttl: 0s: must be positive; disabled: true switches the cache off")
	}
	if c.StaleIfError, err = settings.Duration("stale_if_error", m.GetStaleIfError(), 0); err != nil {
		return nil, err
	}
	if c.StaleWhileRevalidate, err = settings.Duration("stale_while_revalidate", m.GetStaleWhileRevalidate(), 0); err != nil {
		return nil, err
	}
	if c.ReplayGap, err = settings.Duration("replay_gap", m.GetReplayGap(), 0); err != nil {
		return nil, err
	}
	if c.ReplayGap > maxReplayGap {
		return nil, fmt.Errorf("replay_gap: %v: must be at most %v", c.ReplayGap, maxReplayGap)
	}
	if c.Shared, err = redis.OptionsOf(m.GetShared()); err != nil {
		return nil, fmt.Errorf("shared: %w", err)
	}
	if _, ok := cachev1.Cache_Determinism_name[int32(c.Determinism)]; !ok {
		return nil, fmt.Errorf("determinism: %d: not a value of Determinism", c.Determinism)
	}
	if _, ok := cachev1.Cache_Usage_name[int32(c.Usage)]; !ok {
		return nil, fmt.Errorf("usage: %d: not a value of Usage", c.Usage)
	}
	if c.TenantHeaders, err = settings.HeaderNames("tenant_headers", m.GetTenantHeaders()); err != nil {
		return nil, err
	}
	if c.Protocols, err = protocols(m.GetProtocols()); err != nil {
		return nil, err
	}
	return c, nil
}

func protocols(values []cachev1.Cache_Protocol) ([]string, error) {
	if len(values) == 0 {
		return defaultProtocols(), nil
	}
	var out []string
	for i, v := range values {
		name, ok := cachev1.Cache_Protocol_name[int32(v)]
		if !ok || v == cachev1.Cache_PROTOCOL_UNSPECIFIED {
			return nil, fmt.Errorf("protocols[%d]: %v: not a protocol", i, v)
		}
		if name = strings.ToLower(name); slices.Contains(out, name) {
			return nil, fmt.Errorf("protocols[%d]: %s: named twice", i, v)
		}
		out = append(out, name)
	}
	slices.Sort(out)
	return out, nil
}
