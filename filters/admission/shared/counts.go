// Package shared counts what tenants have used of their limits a minute for all Fridays
// that ask the same Redis or Valkey.
//
// It is the allowance of package gate, kept there: two numbers and a time under a key for
// each tenant and its limits. A script reads, fills, compares and takes in one step, by
// the server's clock, so that neither clocks that differ nor two who ask at once can let
// in too much. What the server then holds comes back with each answer: whoever asks can
// go on from it when the server cannot be asked any more. Keys go a minute after their
// last use, when nothing would be left of what was used.
package shared

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/rueidis"
	"go.uber.org/zap"

	"github.com/fridaymesh/friday/filters/admission/gate"
	"github.com/fridaymesh/friday/proxy/redis"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

// script takes ARGV[3] requests and ARGV[4] tokens of ARGV[1] and ARGV[2] a minute, or
// neither where there is not enough; less than nothing is given back. It returns whether
// it did, and what is used then. The sums are those of gate's allowance.
const script = `
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local kept = redis.call('HMGET', KEYS[1], 'at', 'requests', 'tokens')
local past = math.max(0, now - (tonumber(kept[1]) or now)) / 60000000
local used, fits = {}, 1
for i = 1, 2 do
	local most, n = tonumber(ARGV[i]), tonumber(ARGV[i + 2])
	used[i] = math.max(0, (tonumber(kept[i + 1]) or 0) - most * past)
	if n > 0 and most > 0 and used[i] + n - most > 1e-9 then fits = 0 end
end
for i = 1, 2 do
	if fits == 1 and tonumber(ARGV[i]) > 0 then used[i] = math.max(0, used[i] + tonumber(ARGV[i + 2])) end
	used[i] = string.format('%.17g', used[i])
end
redis.call('HSET', KEYS[1], 'at', string.format('%.0f', now), 'requests', used[1], 'tokens', used[2])
redis.call('PEXPIRE', KEYS[1], 60000)
return {fits, used[1], used[2]}
`

// Counts are the tenants' counts. Its methods are safe for concurrent use, also after
// Close: then nothing can be counted.
type Counts struct {
	prefix                      string
	server                      *redis.Server
	script                      *rueidis.Lua
	counted, late, failed, down prometheus.Counter
}

var _ io.Closer = (*Counts)(nil)

// Env is what the house lends.
type Env struct {
	Log     *zap.Logger
	Metrics *telemetry.Metrics
}

// Open makes Counts. It does not wait for the server.
func Open(o redis.Options, env Env) *Counts {
	result := func(name string) prometheus.Counter {
		return env.Metrics.AdmissionShared.WithLabelValues(o.Address, name)
	}
	return &Counts{
		prefix: o.Prefix + "a:",
		server: redis.Open(o, redis.Use{Log: env.Log, Up: env.Metrics.AdmissionSharedUp.WithLabelValues(o.Address)}),
		script: rueidis.NewLuaScript(script), counted: result("counted"), late: result("late"), failed: result("failed"), down: result("down"),
	}
}

// Close ends it.
func (c *Counts) Close() error { return c.server.Close() }

// Used is what a tenant has used of its limits.
type Used struct{ Requests, Tokens float64 }

// Take takes a request of so many tokens, or nothing where there is not enough left. It is
// not known where the server cannot be asked in time.
func (c *Counts) Take(tenant string, limits gate.PerMinute, tokens int64) (taken bool, used Used, known bool) {
	return c.add(tenant, limits, 1, tokens)
}

// Return gives back what was taken for a request that was not let in.
func (c *Counts) Return(tenant string, limits gate.PerMinute, tokens int64) (used Used, known bool) {
	_, used, known = c.add(tenant, limits, -1, -tokens)
	return used, known
}

func (c *Counts) add(tenant string, limits gate.PerMinute, requests, tokens int64) (taken bool, used Used, known bool) {
	l := c.server.Link()
	if l == nil {
		c.down.Inc()
		return false, Used{}, false
	}
	ctx, cancel := l.Question()
	defer cancel()
	answer, err := c.script.Exec(ctx, l, []string{c.key(tenant, limits)}, []string{
		strconv.FormatUint(limits.Requests, 10), strconv.FormatUint(limits.Tokens, 10), strconv.FormatInt(requests, 10), strconv.FormatInt(tokens, 10),
	}).ToArray()
	if err == nil {
		taken, used, err = read(answer)
	}
	l.Judge(err)
	switch {
	case err == nil:
		c.counted.Inc()
		return taken, used, true
	case errors.Is(err, context.DeadlineExceeded):
		c.late.Inc()
	default:
		c.failed.Inc()
	}
	return false, Used{}, false
}

func read(answer []rueidis.RedisMessage) (taken bool, used Used, err error) {
	if len(answer) != 3 {
		return false, Used{}, fmt.Errorf("the script returned %d values", len(answer))
	}
	fits, err := answer[0].AsInt64()
	if err != nil {
		return false, Used{}, err
	}
	if used.Requests, err = answer[1].AsFloat64(); err != nil {
		return false, Used{}, err
	}
	used.Tokens, err = answer[2].AsFloat64()
	return fits == 1, used, err
}

// key is of a tenant with its limits: with other limits it is another one. Tenants' names
// may be credentials.
func (c *Counts) key(tenant string, limits gate.PerMinute) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %s", limits.Requests, limits.Tokens, tenant))
	return c.prefix + base64.RawURLEncoding.EncodeToString(sum[:])
}
