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
	"github.com/fridaymesh/friday/proxy/redis"
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
		coalesce {value: false} stale_if_error {seconds: 5} disabled: true protocols: KSERVE_V1 protocols: OPENAI_CHAT
		stale_while_revalidate {seconds: 7} replay_gap {nanos: 20000000} persist: true
		shared {address: 'redis.example:6379' prefix: 'p:' timeout {nanos: 5000000} username: 'u' password_file: '/p' database: 3
			tls {ca_file: '/ca' cert_file: '/c' key_file: '/k' server_name: 's'}}`))
	require.NoError(t, err)
	require.Equal(t, &cache.Config{
		MaxBytes: 1000000, TTL: time.Minute, StaleIfError: 5 * time.Second, Determinism: cachev1.Cache_SEEDED,
		TenantHeaders: []string{"x-tenant"}, Usage: cachev1.Cache_BYPASS, Disabled: true, Protocols: []string{"kserve_v1", "openai_chat"},
		StaleWhileRevalidate: 7 * time.Second, ReplayGap: 20 * time.Millisecond, Persist: true,
		Shared: &redis.Options{
			Address: "redis.example:6379", Prefix: "p:", Timeout: 5 * time.Millisecond, Username: "u", PasswordFile: "/p", Database: 3,
			TLS: &redis.TLS{CAFile: "/ca", CertFile: "/c", KeyFile: "/k", ServerName: "s"},
		},
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
		"determinism: 7":                                              "determinism: 7: not a value of Determinism",
		"usage: 7":                                                    "usage: 7: not a value of Usage",
		"tenant_headers: 'a b'":                                       `tenant_headers[0]: "a b": not a header name`,
		"protocols: PROTOCOL_UNSPECIFIED":                             "protocols[0]: PROTOCOL_UNSPECIFIED: not a protocol",
		"protocols: TEI protocols: TEI":                               "protocols[1]: TEI: named twice",
		"stale_while_revalidate {seconds: -1}":                        "stale_while_revalidate: -1s: must not be negative",
		"replay_gap {seconds: 11}":                                    "replay_gap: 11s: must be at most 10s",
		"shared {}":                                                   `shared: address: "": must be host:port`,
		"shared {address: 'redis.example'}":                           `shared: address: "redis.example": must be host:port`,
		"shared {address: 'redis.example:0'}":                         `shared: address: "redis.example:0": port: must be 1 to 65535`,
		"shared {address: 'redis.example:6379' prefix: 'a b'}":        `shared: prefix: "a b": must be up to 64 of letters`,
		"shared {address: 'redis.example:6379' timeout {nanos: 1}}":   "shared: timeout: 1ns: must be 1ms to 1s",
		"shared {address: 'redis.example:6379' timeout {seconds: 2}}": "shared: timeout: 2s: must be 1ms to 1s",
		"shared {address: 'redis.example:6379' username: 'a'}":        `shared: username: "a": needs password_file`,
		"shared {address: 'redis.example:6379' database: 65537}":      "shared: database: 65537: must be at most 65536",
		"shared {address: 'redis.example:6379' tls {cert_file: 'a'}}": "shared: tls: cert_file and key_file: both or none",
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
