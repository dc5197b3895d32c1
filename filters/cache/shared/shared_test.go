package shared_test

import (
	"crypto/sha256"
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/fridaymesh/friday/filters/cache/shared"
	"github.com/fridaymesh/friday/filters/cache/shared/sharedtest"
	"github.com/fridaymesh/friday/proxy/redis"
	"github.com/fridaymesh/friday/proxy/telemetry"
	"github.com/fridaymesh/friday/proxy/tlscontext/tlstest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"))
}

// patience is how long anything may take on a machine that has other things to do.
const patience = time.Minute

// friday is one who shares.
type friday struct {
	*shared.Store
	t       *testing.T
	metrics *telemetry.Metrics
	address string
}

func options(address string) redis.Options {
	return redis.Options{Address: address, Prefix: "friday:", Timeout: 10 * time.Second}
}

func open(t *testing.T, o redis.Options) *friday {
	t.Helper()
	m := telemetry.New(prometheus.NewRegistry())
	f := &friday{shared.Open(o, shared.Env{Log: zaptest.NewLogger(t), Metrics: m}), t, m, o.Address}
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	return f
}

func (f *friday) up() bool {
	return testutil.ToFloat64(f.metrics.CacheSharedUp.WithLabelValues(f.address)) == 1
}

func (f *friday) items(result string) float64 {
	return testutil.ToFloat64(f.metrics.CacheSharedItems.WithLabelValues(f.address, result))
}

func (f *friday) writes(result string) float64 {
	return testutil.ToFloat64(f.metrics.CacheSharedWrites.WithLabelValues(f.address, result))
}

func (f *friday) await(up bool) {
	f.t.Helper()
	eventually(f.t, func() bool { return f.up() == up })
}

func eventually(t *testing.T, what func() bool) {
	t.Helper()
	require.Eventually(t, what, patience, time.Millisecond)
}

func key(name string) shared.Key { return sha256.Sum256([]byte(name)) }

// set writes name=text of a model as who has looked for it before.
func (f *friday) set(model, name, text string) {
	f.t.Helper()
	_, stamp := f.Get(model, []shared.Key{key(name)})
	f.put(model, stamp, name, text)
}

// put writes under a stamp, and waits until that is done.
func (f *friday) put(model string, stamp shared.Stamp, name, text string) {
	f.t.Helper()
	before := f.written()
	f.Set(model, stamp, []shared.Item{{
		Key: key(name), Life: time.Hour, Size: len(text),
		Append: func(dst []byte) []byte { return append(dst, text...) },
	}})
	eventually(f.t, func() bool { return f.written() > before })
}

func (f *friday) written() float64 {
	return f.writes("stored") + f.writes("dropped") + f.writes("failed")
}

// get is what is found; empty: nothing.
func (f *friday) get(model, name string) string {
	values, _ := f.Get(model, []shared.Key{key("other"), key(name)})
	if values == nil {
		return ""
	}
	return string(values[1])
}

func TestOneStoresAndAnotherFinds(t *testing.T) {
	for _, plain := range []bool{false, true} {
		s := sharedtest.Start(t, &sharedtest.Server{Plain: plain})
		a, b := open(t, options(s.Address())), open(t, options(s.Address()))
		a.await(true)
		b.await(true)
		require.Empty(t, b.get("m", "x"))
		a.set("m", "x", "1")
		eventually(t, func() bool { return b.get("m", "x") == "1" })
		require.Empty(t, b.get("m", "y"))
		require.Empty(t, b.get("n", "x"), "of another model")
		require.Equal(t, 1, int(a.writes("stored")))
		require.Positive(t, b.items("hit"))
		require.Positive(t, b.items("miss"))

		o := options(s.Address())
		o.Prefix = "other:"
		c := open(t, o)
		c.await(true)
		require.Empty(t, c.get("m", "x"), "under another prefix")
	}
}

// Marks cost no round trip where the server tells of their changes.
func TestMarksAreReadOnce(t *testing.T) {
	s := sharedtest.Start(t, &sharedtest.Server{})
	f := open(t, options(s.Address()))
	f.await(true)
	f.set("m", "x", "1")
	eventually(t, func() bool { return f.get("m", "x") == "1" })
	before := s.Commands("MULTI")
	for range 100 {
		require.Equal(t, "1", f.get("m", "x"))
	}
	require.LessOrEqual(t, s.Commands("MULTI")-before, 4, "at most a change that was told late")
}

func TestAPurgeCountsForAll(t *testing.T) {
	for _, plain := range []bool{false, true} {
		for _, what := range []string{"m", ""} {
			s := sharedtest.Start(t, &sharedtest.Server{Plain: plain})
			a, b := open(t, options(s.Address())), open(t, options(s.Address()))
			a.await(true)
			b.await(true)
			var mu sync.Mutex
			var told []string
			b.Tell("test", func(model string, before time.Time) {
				mu.Lock()
				defer mu.Unlock()
				require.Zero(t, before)
				told = append(told, model)
			})
			a.Tell("test", func(string, time.Time) { t.Error("who purges knows") })
			a.set("m", "x", "1")
			eventually(t, func() bool { return b.get("m", "x") == "1" })
			_, before := b.Get("m", []shared.Key{key("y")})
			a.Purge(what)
			require.Empty(t, a.get("m", "x"))
			eventually(t, func() bool { return b.get("m", "x") == "" })
			eventually(t, func() bool {
				mu.Lock()
				defer mu.Unlock()
				return len(told) == 1 && told[0] == what
			})
			b.put("m", before, "y", "old")
			require.Empty(t, a.get("m", "y"), "what was asked for before the purge")
			b.set("m", "x", "2")
			eventually(t, func() bool { return a.get("m", "x") == "2" })
		}
	}
}

// A purge that cannot be told makes the store unused until it was.
func TestAPurgeWaitsForTheServer(t *testing.T) {
	s := sharedtest.Start(t, &sharedtest.Server{})
	a, b := open(t, options(s.Address())), open(t, options(s.Address()))
	a.await(true)
	b.await(true)
	a.set("m", "x", "1")
	eventually(t, func() bool { return b.get("m", "x") == "1" })
	s.Refuse("OOM command not allowed")
	a.Purge("m")
	s.Refuse("")
	eventually(t, func() bool { return a.up() && b.get("m", "x") == "" })
	require.Empty(t, a.get("m", "x"))
}

// Who comes later is told of a purge with its time.
func TestAPurgeOfBefore(t *testing.T) {
	s := sharedtest.Start(t, &sharedtest.Server{})
	a := open(t, options(s.Address()))
	a.await(true)
	began := time.Now().Truncate(time.Millisecond)
	a.Purge("m")
	b := open(t, options(s.Address()))
	var at atomic.Pointer[time.Time]
	b.Tell("test", func(_ string, before time.Time) { at.Store(&before) })
	b.await(true)
	b.get("m", "x")
	eventually(t, func() bool { return at.Load() != nil })
	require.WithinRange(t, *at.Load(), began, time.Now())
}

func TestAnEmptiedStoreIsAMiss(t *testing.T) {
	s := sharedtest.Start(t, &sharedtest.Server{})
	a, b := open(t, options(s.Address())), open(t, options(s.Address()))
	a.await(true)
	b.await(true)
	for _, f := range []*friday{a, b} {
		f.Tell("test", func(string, time.Time) { t.Error("nobody purged") })
	}
	a.set("m", "x", "1")
	eventually(t, func() bool { return b.get("m", "x") == "1" })
	s.FlushAll()
	eventually(t, func() bool { return b.get("m", "x") == "" })
	eventually(t, func() bool { a.set("m", "x", "2"); return b.get("m", "x") == "2" })
	require.True(t, a.up() && b.up())
}

func TestTheServerGoesAndComesBack(t *testing.T) {
	s := sharedtest.Start(t, &sharedtest.Server{})
	f := open(t, options(s.Address()))
	f.await(true)
	f.set("m", "x", "1")
	for range 3 {
		s.Kill()
		eventually(t, func() bool { return f.get("m", "x") == "" && !f.up() })
		require.Empty(t, f.get("m", "x"))
		f.Set("m", shared.Stamp{}, []shared.Item{{Key: key("x")}})
		require.Positive(t, f.writes("dropped"))
		require.Positive(t, f.items("down"))
		s.Restart()
		f.await(true)
		eventually(t, func() bool { f.set("m", "x", "2"); return f.get("m", "x") == "2" })
	}
}

// A server that hangs costs a few deadlines, and then nothing.
func TestAServerThatHangs(t *testing.T) {
	s := sharedtest.Start(t, &sharedtest.Server{})
	o := options(s.Address())
	o.Timeout = 200 * time.Millisecond
	f := open(t, o)
	f.await(true)
	on := s.Hang()
	defer on()
	eventually(t, func() bool { return f.get("m", "x") == "" && !f.up() })
	require.Positive(t, f.items("late"))
	require.LessOrEqual(t, f.items("late"), 2*6.0, "two items each")
	late := f.items("late")
	for range 1000 {
		require.Empty(t, f.get("m", "x"))
	}
	require.Equal(t, int(late), int(f.items("late")), "nobody waits any more")
	on()
	f.await(true)
}

func TestAServerThatRefuses(t *testing.T) {
	s := sharedtest.Start(t, &sharedtest.Server{})
	f := open(t, options(s.Address()))
	f.await(true)
	f.set("m", "x", "1")
	eventually(t, func() bool { return f.get("m", "x") == "1" })
	s.Refuse("NOPERM no permissions")
	eventually(t, func() bool { return f.get("m", "x") == "" && !f.up() })
	require.Positive(t, f.items("failed"))
	s.Refuse("")
	f.await(true)
	require.Equal(t, "1", f.get("m", "x"))
}

// The password is read for each connection.
func TestThePasswordChanges(t *testing.T) {
	s := sharedtest.Start(t, &sharedtest.Server{})
	s.SetPassword("one")
	o := options(s.Address())
	o.PasswordFile = filepath.Join(t.TempDir(), "password")
	write := func(text string) { require.NoError(t, os.WriteFile(o.PasswordFile, []byte(text), 0o600)) }
	write("one\n")
	f := open(t, o)
	f.await(true)
	s.SetPassword("two")
	require.Empty(t, f.get("m", "x"))
	require.True(t, f.up(), "a connection that lives stays")
	s.Disconnect()
	eventually(t, func() bool { f.get("m", "x"); return !f.up() })
	write("two\n")
	f.await(true)
}

func TestTLS(t *testing.T) {
	ca := tlstest.NewCA(t)
	chain, err := tls.X509KeyPair(pair(ca.Issue("redis.example")))
	require.NoError(t, err)
	s := sharedtest.Start(t, &sharedtest.Server{Wrap: func(nc net.Conn) net.Conn {
		return tls.Server(nc, &tls.Config{Certificates: []tls.Certificate{chain}})
	}})
	file := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(file, tlstest.NewCA(t).PEM, 0o600))
	o := options(s.Address())
	o.TLS = &redis.TLS{CAFile: file, ServerName: "redis.example"}
	f := open(t, o)
	require.Empty(t, f.get("m", "x"))
	require.NoError(t, os.WriteFile(file, ca.PEM, 0o600))
	f.await(true)
	f.set("m", "x", "1")
	eventually(t, func() bool { return f.get("m", "x") == "1" })
}

func pair(c *tlstest.Certificate) (chain, key []byte) { return c.Chain, c.Key }

// Nothing waits for a server that is not there, and nothing is left of it.
func TestNoServer(t *testing.T) {
	f := open(t, options("127.0.0.1:1"))
	require.Empty(t, f.get("m", "x"))
	require.False(t, f.up())
	require.NoError(t, f.Close())
	require.Empty(t, f.get("m", "x"))
	f.Purge("m")
}
