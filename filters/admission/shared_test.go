package admission_test

import (
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/filtertest"
)

// Two Fridays that share limits let in together what one may, and each as much by itself,
// from what it last heard, while the server that counts is away.
func TestSharedLimits(t *testing.T) {
	server := miniredis.RunT(t)
	server.SetTime(time.Now())
	config := "requests_per_minute: 2 tenant_header: 'X-Tenant' shared_limits {address: '" + server.Addr() + "' timeout {seconds: 1}}"
	one, two := newDoor(t, config, filtertest.NewServer(10, 0, 0)), newDoor(t, config, filtertest.NewServer(10, 0, 0))
	await := func(up int) {
		for _, d := range []*door{one, two} {
			require.Eventually(t, func() bool { return d.house.Count(t, "friday_admission_shared_up") == up }, time.Minute, time.Millisecond)
		}
	}
	await(1)
	for i, d := range []*door{one, two} {
		a := d.embed("X-Tenant", "acme")
		require.Equal(t, 200, a.status, a.body)
		require.Equal(t, []string{"1", "0"}[i], a.header["X-Ratelimit-Remaining-Requests"]+a.header["x-ratelimit-remaining-requests"])
	}
	a := two.embed("X-Tenant", "acme")
	require.Equal(t, 429, a.status)
	_, code, message := told(t, a)
	require.Equal(t, "rate_limit_exceeded", code)
	require.Contains(t, message, "Rate limit reached for acme on requests per min: Limit 2, Requested 1. Please try again in ")
	require.NotEmpty(t, a.header["Retry-After"]+a.header["retry-after"])
	require.Equal(t, 200, one.embed("X-Tenant", "other").status)

	server.Close()
	two.embed("X-Tenant", "third") // notices, if nobody has
	one.embed("X-Tenant", "third")
	await(0)
	require.Equal(t, 429, two.embed("X-Tenant", "acme").status, "it goes on from what it knows")
	for _, d := range []*door{one, two} {
		for range 2 {
			require.Equal(t, 200, d.embed("X-Tenant", "new").status)
		}
		require.Equal(t, 429, d.embed("X-Tenant", "new").status)
	}
}
