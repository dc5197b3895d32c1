//go:build interop

package interop_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/exposition"
	"github.com/fridaymesh/friday/bench/load"
	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/realserver"
	"github.com/fridaymesh/friday/bench/sidecar"
)

// sharing is two Fridays with a real Redis between them.
type sharing struct {
	*house
	t       *testing.T
	program *realserver.Redis
	redis   *realserver.Server
	args    []string
	fridays [2]*sidecar.Sidecar
}

const redisPassword = "correct-horse"

// newSharing starts them, with a shared cache.
func newSharing(t *testing.T, args ...string) *sharing {
	t.Helper()
	s := startRedis(t, args...)
	s.start(func(name, direct, listen, admin, redis string) (*sidecar.Sidecar, error) {
		return sidecar.Cached(s.ctx, s.group, s.bin, name, direct, listen, admin, fmt.Sprintf(`{"shared":%s}`, redis))
	})
	for i := range s.fridays {
		s.awaitUp(i, "friday_cache_shared_up")
	}
	return s
}

func startRedis(t *testing.T, args ...string) *sharing {
	t.Helper()
	h := bareHouse(t)
	program, err := realserver.PrepareRedis(h.ctx, func(s string) { t.Log(s) })
	if errors.Is(err, realserver.ErrUnavailable) {
		t.Skipf("SKIPPED, Redis was not called: %v", err)
	}
	require.NoError(t, err)
	version, err := program.Version(h.ctx)
	require.NoError(t, err)
	t.Log(version)
	s := &sharing{house: h, t: t, program: program, args: append(args, "--requirepass", redisPassword)}
	s.redis, err = program.Start(h.ctx, h.group, s.address(), s.args...)
	require.NoError(t, err)
	if slices.Contains(args, "--cluster-enabled") {
		s.takeSlots()
	}

	return s
}

// start starts the Fridays before a stand-in; redis is how they reach the store. They
// listen at the same port of two loopback addresses, because the port is part of the
// cache's keys.
func (s *sharing) start(friday func(name, direct, listen, admin, redis string) (*sidecar.Sidecar, error)) {
	s.t.Helper()
	addresses, err := process.FreeAddresses(0, 0, 0, 0)
	require.NoError(s.t, err)
	direct := addresses[0]
	p, err := s.group.Start("stand-in", nil, filepath.Join(s.bin, "standin"), "--listen", direct)
	require.NoError(s.t, err)
	require.NoError(s.t, p.Await(s.ctx, time.Minute, process.OK("http://"+direct+"/health")))
	password := s.group.File("password")
	require.NoError(s.t, os.WriteFile(password, []byte(redisPassword+"\n"), 0o600))
	_, port, err := net.SplitHostPort(addresses[1])
	require.NoError(s.t, err)
	for i := range s.fridays {
		s.fridays[i], err = friday(fmt.Sprintf("friday %d", i), direct, fmt.Sprintf("127.0.0.%d:%s", i+1, port), addresses[2+i],
			fmt.Sprintf(`{"address":%q,"passwordFile":%q,"timeout":"1s"}`, s.redis.Address, password))
		require.NoError(s.t, err)
	}
}

// address is any for a single server. A node of a cluster has a port 10,000 above its own
// as well, which has to be one.
func (s *sharing) address() string {
	addresses, err := process.FreeAddresses(17379)
	require.NoError(s.t, err)
	return addresses[0]
}

// takeSlots makes a cluster of the one server.
func (s *sharing) takeSlots() {
	s.t.Helper()
	for from := 0; from < 16384; from += 4096 {
		command := "CLUSTER ADDSLOTS"
		for slot := range 4096 {
			command += " " + strconv.Itoa(from+slot)
		}
		s.do(command)
	}
	s.await(func() bool {
		text, err := realserver.RedisDo(s.ctx, s.redis.Address, "AUTH "+redisPassword, "SET probe 1")
		return err == nil && text == "+OK"
	})
	s.do("DEL probe")
}

func (s *sharing) metric(i int, name string, labels ...string) float64 {
	s.t.Helper()
	text, err := process.Get(s.ctx, "http://"+s.fridays[i].Admin+"/metrics")
	require.NoError(s.t, err)
	return exposition.Sum(string(text), name, labels...)
}

func (s *sharing) awaitUp(i int, name string) {
	s.t.Helper()
	s.await(func() bool { return s.metric(i, name) == 1 })
}

func (s *sharing) await(what func() bool) {
	s.t.Helper()
	require.Eventually(s.t, what, time.Minute, 20*time.Millisecond)
}

// ask asks one of them for the embedding of a text, and says where it came from.
func (s *sharing) ask(i int, text string) (from, body string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.ctx, http.MethodPost, "http://"+s.fridays[i].Listen+"/v1/embeddings",
		strings.NewReader(fmt.Sprintf(`{"model":"m","input":[%q,"the same"]}`, text)))
	require.NoError(s.t, err)
	req.Host = "model.example"
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Friday-Debug", "1")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	require.Equal(s.t, http.StatusOK, resp.StatusCode, "%s", answer)
	return resp.Header.Get("X-Friday-Cache"), string(answer)
}

// do has Redis do something.
func (s *sharing) do(command string) string {
	s.t.Helper()
	line, err := realserver.RedisDo(s.ctx, s.redis.Address, "AUTH "+redisPassword, command)
	require.NoError(s.t, err)
	return line
}

// What the first has stored the second finds, what one purges is gone at both, and an
// emptied store harms nobody.
func TestTwoFridaysShareARedis(t *testing.T) {
	for name, args := range map[string][]string{"one server": nil, "a cluster of one": {"--cluster-enabled", "yes"}} {
		t.Run(name, func(t *testing.T) {
			if args != nil {
				args = append(args, "--dir", t.TempDir(), "--cluster-announce-ip", "127.0.0.1")
			}
			s := newSharing(t, args...)
			from, want := s.ask(0, "a")
			require.Equal(t, "miss", from)
			s.await(func() bool { return s.metric(0, "friday_cache_shared_writes_total", `result="stored"`) >= 2 })
			from, got := s.ask(1, "a")
			require.Equal(t, "hit", from)
			require.Equal(t, want, got)
			require.Equal(t, ":4", s.do("DBSIZE"), "two items, two marks")

			resp, err := http.Post("http://"+s.fridays[0].Admin+"/cache/purge?model=m", "", nil)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, http.StatusOK, resp.StatusCode)
			s.await(func() bool { return s.metric(1, "friday_cache_bytes") == 0 })
			from, _ = s.ask(1, "a")
			require.Equal(t, "miss", from)

			s.do("FLUSHALL")
			from, _ = s.ask(1, "a")
			require.Equal(t, "hit", from, "its own copy stays")
			from, got = s.ask(0, "b")
			require.Equal(t, "miss", from)
			s.await(func() bool {
				from, again := s.ask(1, "b")
				require.Equal(t, got, again)
				return from == "hit"
			})
		})
	}
}

// Redis is killed and begun again under load, and emptied: no caller sees an error.
func TestARedisThatIsKilled(t *testing.T) {
	s := newSharing(t)
	run := func(what string) *load.Result {
		r, err := load.Run(s.ctx, load.Options{
			Target: load.Target{Address: s.fridays[0].Listen}, Concurrency: 16, Duration: 8 * time.Second,
			Workload: load.Zipf{Workload: load.Embeddings{Items: 1}, Texts: 100_000, S: 1.1},
		})
		require.NoError(t, err)
		require.True(t, r.Clean(), "%s: %s", what, r.Trouble())
		t.Logf("summary: %s: %d requests, no error, p50 %v, p99 %v", what, r.Requests, r.Latency.Quantile(.5), r.Latency.Quantile(.99))
		return r
	}
	ctx, cancel := context.WithCancel(s.ctx)
	killed := make(chan int)
	go func() {
		n := 0
		defer func() { killed <- n }()
		tick := time.NewTicker(700 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			s.redis.Kill()
			n++
			var err error
			if s.redis, err = s.program.Start(s.ctx, s.group, s.redis.Address, s.args...); err != nil {
				t.Error(err)
				return
			}
			if _, err := realserver.RedisDo(s.ctx, s.redis.Address, "AUTH "+redisPassword, "FLUSHALL"); err != nil {
				t.Error(err)
			}
		}
	}()
	run("Redis killed and begun again all the time")
	cancel()
	t.Logf("summary: Redis was killed %d times", <-killed)
	s.awaitUp(0, "friday_cache_shared_up")
	s.awaitUp(1, "friday_cache_shared_up")
	before := s.metric(0, "friday_cache_shared_writes_total", `result="stored"`)
	s.ask(0, "after")
	s.await(func() bool { return s.metric(0, "friday_cache_shared_writes_total", `result="stored"`) > before })
	from, _ := s.ask(1, "after")
	require.Equal(t, "hit", from)
}

// What tenants may ask for in a minute counts at both together, and while nobody counts for
// both, each does for itself.
func TestTwoFridaysShareLimits(t *testing.T) {
	s := startRedis(t)
	s.start(func(name, direct, listen, admin, redis string) (*sidecar.Sidecar, error) {
		return sidecar.Admitting(s.ctx, s.group, s.bin, name, direct, listen, admin,
			fmt.Sprintf(`{"requestsPerMinute":20,"tenantHeader":"x-tenant","sharedLimits":%s}`, redis))
	})
	for i := range s.fridays {
		s.awaitUp(i, "friday_admission_shared_up")
	}
	began := time.Now()
	ask := func(i int, tenant string) (status int, left string) {
		req, err := http.NewRequestWithContext(s.ctx, http.MethodPost, "http://"+s.fridays[i].Listen+"/v1/embeddings", strings.NewReader(`{"model":"m","input":"a"}`))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Tenant", tenant)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode, resp.Header.Get("X-Ratelimit-Remaining-Requests")
	}
	admitted := func(tenant string, requests int) (n int) {
		for i := range requests {
			if status, _ := ask(i%2, tenant); status == http.StatusOK {
				n++
			} else {
				require.Equal(t, http.StatusTooManyRequests, status)
			}
		}
		return n
	}
	_, left := ask(0, "b")
	require.Equal(t, "19", left)
	_, left = ask(1, "b")
	require.Equal(t, "18", left, "the other's counts")
	n := admitted("a", 60)
	require.GreaterOrEqual(t, n, 20)
	require.LessOrEqual(t, n, 20+1+int(time.Since(began)/(3*time.Second)), "one every three seconds becomes free")

	s.redis.Kill()
	began = time.Now()
	n = admitted("c", 60)
	require.GreaterOrEqual(t, n, 40, "each its own")
	require.LessOrEqual(t, n, 40+2*(1+int(time.Since(began)/(3*time.Second))))

	var err error
	s.redis, err = s.program.Start(s.ctx, s.group, s.redis.Address, s.args...)
	require.NoError(t, err)
	for i := range s.fridays {
		s.awaitUp(i, "friday_admission_shared_up")
	}
	began = time.Now()
	n = admitted("d", 60)
	require.GreaterOrEqual(t, n, 20)
	require.LessOrEqual(t, n, 20+1+int(time.Since(began)/(3*time.Second)))
}
