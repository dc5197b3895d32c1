package admission

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/fridaymesh/friday/filters/admission/gate"
	"github.com/fridaymesh/friday/proxy/redis"
	admissionv1 "github.com/fridaymesh/friday/xds/api/friday/filters/http/admission/v1"
	"github.com/fridaymesh/friday/xds/api/settings"
)

// The defaults of [admissionv1.Admission], and what bounds its fields.
const (
	defaultMaxQueue   = 1024
	maxMaxQueue       = 1 << 20
	maxMaxConcurrency = 65536
	defaultRetryAfter = time.Second
	maxRetryAfter     = time.Hour
	maxPerMinute      = 1 << 50
)

// Config is a parsed [admissionv1.Admission] with the defaults filled in. It is immutable.
type Config struct {
	// Rules are the gate's.
	Rules gate.Rules
	// Limits are those of a tenant that has none of its own.
	Limits gate.PerMinute
	// PriorityHeader and TenantHeader are names in lower case; empty: none.
	PriorityHeader, TenantHeader string
	// RetryAfter is the least that an overloaded server has callers wait.
	RetryAfter time.Duration
	// KeyFile is where the API keys are; empty: none is asked for.
	KeyFile string
	// Shared is where limits are counted for several Fridays; nil: each counts its own.
	Shared   *redis.Options
	Disabled bool
}

// parse is the factory's Parse on the message itself.
func parse(m *admissionv1.Admission) (*Config, error) {
	if err := settings.RefuseUnknown(m.ProtoReflect()); err != nil {
		return nil, err
	}
	c := &Config{
		Rules:   gate.Rules{MaxQueue: defaultMaxQueue},
		Limits:  gate.PerMinute{Requests: m.GetRequestsPerMinute(), Tokens: m.GetTokensPerMinute()},
		KeyFile: m.GetKeyFile(), Disabled: m.GetDisabled(),
	}
	if v := m.GetMaxConcurrency(); v != nil {
		if v.GetValue() < 1 || v.GetValue() > maxMaxConcurrency {
			return nil, fmt.Errorf("max_concurrency: %d: must be 1 to %d", v.GetValue(), maxMaxConcurrency)
		}
		c.Rules.MaxConcurrency = int(v.GetValue())
	}
	if n := m.GetMaxQueue(); n > maxMaxQueue {
		return nil, fmt.Errorf("max_queue: %d: must be at most %d", n, maxMaxQueue)
	} else if n > 0 {
		c.Rules.MaxQueue = int(n)
	}
	for _, limit := range []struct {
		path  string
		value uint64
	}{{"tokens_per_minute", c.Limits.Tokens}, {"requests_per_minute", c.Limits.Requests}} {
		if limit.value > maxPerMinute {
			return nil, fmt.Errorf("%s: %d: must be at most %d", limit.path, limit.value, uint64(maxPerMinute))
		}
	}
	var err error
	if c.Shared, err = redis.OptionsOf(m.GetSharedLimits()); err != nil {
		return nil, fmt.Errorf("shared_limits: %w", err)
	}
	if c.PriorityHeader, err = headerName("priority_header", m.GetPriorityHeader()); err != nil {
		return nil, err
	}
	if c.TenantHeader, err = headerName("tenant_header", m.GetTenantHeader()); err != nil {
		return nil, err
	}
	if c.TenantHeader != "" && c.KeyFile != "" {
		return nil, fmt.Errorf("tenant_header: %q: not together with key_file: a key says whose a request is", c.TenantHeader)
	}
	if c.RetryAfter, err = settings.Duration("retry_after", m.GetRetryAfter(), defaultRetryAfter); err != nil {
		return nil, err
	}
	if c.RetryAfter > maxRetryAfter {
		return nil, fmt.Errorf("retry_after: %v: must be at most %v", c.RetryAfter, maxRetryAfter)
	}
	if c.Rules.Objective, err = settings.Duration("latency_objective", m.GetLatencyObjective(), 0); err != nil {
		return nil, err
	}
	if m.GetLatencyObjective() != nil && c.Rules.Objective == 0 {
		return nil, errors.New("latency_objective: 0s: must be positive")
	}
	return c, nil
}

func headerName(path, name string) (string, error) {
	if name != "" && !httpguts.ValidHeaderFieldName(name) {
		return "", fmt.Errorf("%s: %q: not a header name", path, name)
	}
	return strings.ToLower(name), nil
}
