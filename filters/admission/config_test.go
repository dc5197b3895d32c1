package admission_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/admission"
	"github.com/fridaymesh/friday/filters/admission/gate"
	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/proxy/redis"
)

func TestDefaults(t *testing.T) {
	c, err := admission.Factory{}.Parse(nil)
	require.NoError(t, err)
	require.Equal(t, &admission.Config{Rules: gate.Rules{MaxQueue: 1024}, RetryAfter: time.Second}, c)
}

func TestAllFields(t *testing.T) {
	c, err := admission.Factory{}.Parse(filtertest.Any(t, admission.Factory{}, `
		max_concurrency {value: 8} max_queue: 16 priority_header: 'X-Priority' tenant_header: 'X-Tenant'
		tokens_per_minute: 1000 requests_per_minute: 60 retry_after {seconds: 2} latency_objective {nanos: 500000000} disabled: true
		shared_limits {address: 'redis.example:6379' timeout {nanos: 5000000}}`))
	require.NoError(t, err)
	require.Equal(t, &admission.Config{
		Rules:  gate.Rules{MaxConcurrency: 8, MaxQueue: 16, Objective: 500 * time.Millisecond},
		Limits: gate.PerMinute{Requests: 60, Tokens: 1000}, PriorityHeader: "x-priority", TenantHeader: "x-tenant",
		RetryAfter: 2 * time.Second, Disabled: true,
		Shared: &redis.Options{Address: "redis.example:6379", Prefix: "friday:", Timeout: 5 * time.Millisecond},
	}, c)
}

func TestRefused(t *testing.T) {
	for text, want := range map[string]string{
		"max_concurrency {value: 0}":                  "max_concurrency: 0: must be 1 to 65536",
		"max_concurrency {value: 65537}":              "max_concurrency: 65537: must be 1 to 65536",
		"max_queue: 1048577":                          "max_queue: 1048577: must be at most 1048576",
		"tokens_per_minute: 18446744073709551615":     "tokens_per_minute: 18446744073709551615: must be at most 1125899906842624",
		"requests_per_minute: 18446744073709551615":   "requests_per_minute: 18446744073709551615: must be at most 1125899906842624",
		"priority_header: 'a b'":                      `priority_header: "a b": not a header name`,
		"tenant_header: ':path'":                      `tenant_header: ":path": not a header name`,
		"tenant_header: 'X-Tenant' key_file: '/keys'": `tenant_header: "x-tenant": not together with key_file: a key says whose a request is`,
		"retry_after {seconds: -1}":                   "retry_after: -1s: must not be negative",
		"retry_after {seconds: 3601}":                 "retry_after: 1h0m1s: must be at most 1h0m0s",
		"latency_objective {}":                        "latency_objective: 0s: must be positive",
		"shared_limits {address: 'redis.example'}":    `shared_limits: address: "redis.example": must be host:port`,
	} {
		_, err := admission.Factory{}.Parse(filtertest.Any(t, admission.Factory{}, text))
		require.EqualError(t, err, want)
	}
}

func TestAKeyFileThatIsNotThere(t *testing.T) {
	house := filtertest.NewHouse(t, 1)
	config, err := admission.Factory{}.Parse(filtertest.Any(t, admission.Factory{}, "key_file: '/nowhere/keys'"))
	require.NoError(t, err)
	_, err = admission.Factory{}.Build(config, house.Env())
	require.ErrorContains(t, err, "key_file: open /nowhere/keys")
	env := house.Env()
	env.Trial = true
	_, err = admission.Factory{}.Build(config, env)
	require.NoError(t, err, "nothing is read for a trial")
}
