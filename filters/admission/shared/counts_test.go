package shared_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/fridaymesh/friday/filters/admission/gate"
	"github.com/fridaymesh/friday/filters/admission/shared"
	"github.com/fridaymesh/friday/proxy/redis"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"))
}

// patience is how long anything may take on a machine that has other things to do.
const patience = time.Minute

// friday is one who counts there.
type friday struct {
	*shared.Counts
	t       *testing.T
	metrics *telemetry.Metrics
	address string
}

func open(t *testing.T, address string) *friday {
	t.Helper()
	m := telemetry.New(prometheus.NewRegistry())
	o := redis.Options{Address: address, Prefix: "friday:", Timeout: 30 * time.Second}
	f := &friday{shared.Open(o, shared.Env{Log: zaptest.NewLogger(t), Metrics: m}), t, m, address}
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	return f
}

func (f *friday) await(up float64) {
	f.t.Helper()
	require.Eventually(f.t, func() bool {
		return testutil.ToFloat64(f.metrics.AdmissionSharedUp.WithLabelValues(f.address)) == up
	}, patience, time.Millisecond)
}

// take takes what must be known.
func (f *friday) take(tenant string, limits gate.PerMinute, tokens int64) bool {
	f.t.Helper()
	taken, _, known := f.Take(tenant, limits, tokens)
	require.True(f.t, known)
	return taken
}

func TestTwoShareACount(t *testing.T) {
	server := miniredis.RunT(t)
	now := time.Now()
	server.SetTime(now)
	one, two := open(t, server.Addr()), open(t, server.Addr())
	one.await(1)
	two.await(1)
	limits := gate.PerMinute{Requests: 3, Tokens: 100}

	require.True(t, one.take("a", limits, 10))
	require.True(t, two.take("a", limits, 10))
	require.True(t, one.take("a", limits, 10))
	require.False(t, two.take("a", limits, 10), "no request left")
	require.True(t, two.take("b", limits, 90), "another tenant")
	require.False(t, one.take("b", limits, 11), "no tokens left")
	require.True(t, one.take("a", gate.PerMinute{Requests: 4}, 1000), "other limits are counted apart")
	require.True(t, one.take("c", gate.PerMinute{}, 1000), "no limits")

	used, known := two.Return("a", limits, 10)
	require.True(t, known)
	require.Equal(t, shared.Used{Requests: 2, Tokens: 20}, used)
	require.True(t, one.take("a", limits, 10))
	used, known = two.Return("nobody", limits, 10)
	require.True(t, known)
	require.Zero(t, used, "nothing is given back that was not taken")

	server.SetTime(now.Add(19 * time.Second))
	require.False(t, one.take("a", limits, 0))
	server.SetTime(now.Add(21 * time.Second))
	require.True(t, one.take("a", limits, 0), "one every twenty seconds")
	for _, key := range server.Keys() {
		require.NotContains(t, key, "nobody", "a name may be a credential")
		require.Equal(t, time.Minute, server.TTL(key))
	}
	require.InDelta(t, 13, testutil.ToFloat64(one.metrics.AdmissionShared.WithLabelValues(one.address, "counted"))+
		testutil.ToFloat64(two.metrics.AdmissionShared.WithLabelValues(two.address, "counted")), 1e-9)
}

// The script is the allowance of one Friday alone.
func TestTheSameAsAlone(t *testing.T) {
	server := miniredis.RunT(t)
	f := open(t, server.Addr())
	f.await(1)
	random := rand.New(rand.NewPCG(1, 2)) // #nosec G404 -- the same each time
	for _, limits := range []gate.PerMinute{{Requests: 7}, {Tokens: 1000}, {Requests: 100, Tokens: 3000}, {Requests: 1 << 50, Tokens: 1 << 50}} {
		var alone gate.Allowance
		now := time.UnixMilli(1_800_000_000_000)
		epoch := now
		for i := range 300 {
			now = now.Add(time.Duration(random.IntN(3000)) * time.Millisecond)
			server.SetTime(now)
			tokens := int64(random.IntN(400))
			at := now.Sub(epoch)
			if i%10 == 9 {
				alone.Left(at, limits, gate.Requests) // fills
				alone.Return(limits, tokens)
				_, known := f.Return("a", limits, tokens)
				require.True(t, known)
				continue
			}
			short, _ := alone.Take(at, limits, tokens)
			taken, used, known := f.Take("a", limits, tokens)
			require.True(t, known)
			require.Equal(t, short == gate.None, taken, "%+v, %d", limits, i)
			there := gate.Used(at, used.Requests, used.Tokens)
			for _, kind := range []gate.Kind{gate.Requests, gate.Tokens} {
				left, _ := alone.Left(at, limits, kind)
				too, _ := there.Left(at, limits, kind)
				require.InDelta(t, float64(left), float64(too), 1)
			}
			if !taken {
				again, after := there.Take(at, limits, tokens)
				require.Equal(t, short, again)
				require.Positive(t, after)
			}
		}
	}
}

func TestAServerThatIsAway(t *testing.T) {
	server := miniredis.RunT(t)
	f := open(t, server.Addr())
	f.await(1)
	limits := gate.PerMinute{Requests: 1}
	require.True(t, f.take("a", limits, 0))
	server.Close()
	require.Eventually(t, func() bool {
		_, _, known := f.Take("a", limits, 0)
		return !known
	}, patience, time.Millisecond)
	f.await(0)
	_, _, known := f.Take("a", limits, 0)
	require.False(t, known)
	require.Positive(t, testutil.ToFloat64(f.metrics.AdmissionShared.WithLabelValues(f.address, "down")))
	require.NoError(t, server.Restart())
	f.await(1)
	require.False(t, f.take("a", limits, 0), "it has kept the count")
	server.FlushAll()
	require.True(t, f.take("a", limits, 0), "nor does it matter when it is emptied")
}
