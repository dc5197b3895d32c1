package cache_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fridaymesh/friday/filters/cache"
	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/proxy"
	cachev1 "github.com/fridaymesh/friday/xds/api/friday/filters/http/cache/v1"
)

func TestDefaults(t *testing.T) {
	c, err := cache.Factory{}.Parse(nil)
	require.NoError(t, err)
	require.Equal(t, &cache.Config{
		MaxBytes: 64 << 20, TTL: time.Hour, Coalesce: true,
		TenantHeaders: []string{"api-key", "authorization", "openai-organization", "openai-project", "x-api-key"},
		Protocols:     []string{"cohere", "openai", "openai_chat", "openai_completions", "tei"},
	}, c)
}

func TestAllFields(t *testing.T) {
	c, err := cache.Factory{}.Parse(filtertest.Any(t, cache.Factory{}, `
		max_bytes {value: 1000000} ttl {seconds: 60} determinism: SEEDED tenant_headers: 'X-Tenant' usage: BYPASS
		coalesce {value: false} stale_if_error {seconds: 5} disabled: true protocols: KSERVE_V1 protocols: OPENAI_CHAT`))
	require.NoError(t, err)
	require.Equal(t, &cache.Config{
		MaxBytes: 1000000, TTL: time.Minute, StaleIfError: 5 * time.Second, Determinism: cachev1.Cache_SEEDED,
		TenantHeaders: []string{"x-tenant"}, Usage: cachev1.Cache_BYPASS, Disabled: true, Protocols: []string{"kserve_v1", "openai_chat"},
	}, c)
}

func TestRefused(t *testing.T) {
	for text, want := range map[string]string{
		"max_bytes {value: 0}":                    "max_bytes: 0: must be at least 65536",
		"max_bytes {value: 18446744073709551615}": "max_bytes: 18446744073709551615: must be at least 65536",
		"ttl {}":                     "ttl: 0s: must be positive",
		"ttl {seconds: -1}":          "ttl: -1s: must not be negative",
		"stale_if_error {nanos: -1}": "stale_if_error: -1ns: must not be negative",
		"stale_if_error {seconds: 1000000000000}": "stale_if_error: 1000000000000s 0ns",
		"determinism: 7":                         "determinism: 7: not a value of Determinism",
		"usage: 7":                               "usage: 7: not a value of Usage",
		"tenant_headers: 'a b'":                  `tenant_headers[0]: "a b": not a header name`,
		"protocols: PROTOCOL_UNSPECIFIED":        "protocols[0]: PROTOCOL_UNSPECIFIED: not a protocol",
		"protocols: TEI protocols: TEI":          "protocols[1]: TEI: named twice",
		"shared {address: 'redis.example:6379'}": `shared: {address: "redis.example:6379"}: a shared store is not supported yet`,
	} {
		_, err := cache.Factory{}.Parse(filtertest.Any(t, cache.Factory{}, text))
		require.ErrorContains(t, err, want, text)
	}
	_, err := cache.Factory{}.Parse(&anypb.Any{TypeUrl: "type.googleapis.com/google.protobuf.Duration"})
	require.ErrorContains(t, err, "type_url")
	_, err = cache.Factory{}.Parse(&anypb.Any{TypeUrl: cache.TypeURL, Value: []byte{0xff}})
	require.ErrorContains(t, err, "not a friday.filters.http.cache.v1.Cache")
	_, err = cache.Factory{}.Build(math.Pi, proxy.Env{})
	require.ErrorContains(t, err, "float64")
}
