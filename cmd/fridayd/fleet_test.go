package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/sidecar"
	"github.com/fridaymesh/friday/xds/control"
	"github.com/fridaymesh/friday/xds/xdstest"
)

// controlled is a fridayd of its own process before a fleet of sidecars.
type controlled struct {
	fridayd     *process.Process
	sidecars    *xdstest.Fleet
	file, admin string
	connected   time.Duration
}

// fleet starts fridayd and connects n sidecars, who have the policy of timeout 1s.
func fleet(tb testing.TB, n int, refuse func(string, proto.Message) string) *controlled {
	tb.Helper()
	dir := tb.TempDir()
	addresses, err := process.FreeAddresses(0, 0)
	require.NoError(tb, err)
	g, err := process.NewGroup(tb.TempDir())
	require.NoError(tb, err)
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Log(g.Tails(20))
		}
		g.Close()
	})
	c := &controlled{file: filepath.Join(dir, "a.yaml"), admin: addresses[1]}
	c.write(tb, 1)
	c.fridayd, err = sidecar.Control(tb.Context(), g, filepath.Dir(build(tb)), dir, addresses[0], addresses[1])
	require.NoError(tb, err)
	start := time.Now()
	c.sidecars, err = xdstest.NewFleet(addresses[0], n, refuse)
	require.NoError(tb, err)
	tb.Cleanup(c.sidecars.Close)
	c.await(tb, n, 1)
	c.connected = time.Since(start)
	return c
}

func (c *controlled) write(tb testing.TB, timeout int) {
	tb.Helper()
	write(tb, c.file, digits+fmt.Sprintf("  timeout: %ds\n", timeout))
}

// await waits until n sidecars have the policy of a timeout.
func (c *controlled) await(tb testing.TB, n, timeout int) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	defer cancel()
	require.NoError(tb, c.sidecars.Await(ctx, n, func(t *routev3.RouteConfiguration) bool { return timeoutOf(t) == timeout }))
}

func timeoutOf(t *routev3.RouteConfiguration) int {
	return int(t.GetVirtualHosts()[0].GetRoutes()[0].GetRoute().GetTimeout().GetSeconds())
}

func (c *controlled) post(tb testing.TB, path string) string {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodPost, "http://"+c.admin+path, nil)
	require.NoError(tb, err)
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	require.NoError(tb, err)
	defer resp.Body.Close()
	require.Equal(tb, http.StatusOK, resp.StatusCode)
	return resp.Status
}

func (c *controlled) history(tb testing.TB) (view control.HistoryView) {
	tb.Helper()
	text, err := process.Get(tb.Context(), "http://"+c.admin+"/history")
	require.NoError(tb, err)
	require.NoError(tb, json.Unmarshal(text, &view))
	return view
}

// A hundred sidecars, state of the world and delta, follow every change, a
// rollback, and the rollback of what a quorum of them refuses.
func TestFleet(t *testing.T) {
	const n = 100
	c := fleet(t, n, func(node string, m proto.Message) string {
		table, ok := m.(*routev3.RouteConfiguration)
		if !ok {
			return ""
		}
		switch timeout := timeoutOf(table); {
		case timeout == 4, timeout == 3 && strings.HasSuffix(node, "-7"):
			return `route "digits": no`
		}
		return ""
	})
	c.write(t, 2)
	c.await(t, n, 2)
	start := time.Now()
	c.post(t, "/rollback")
	c.await(t, n, 1)
	t.Logf("rollback at %d sidecars: %v", n, time.Since(start))
	c.post(t, "/release")
	c.await(t, n, 2)

	c.write(t, 3) // which one sidecar refuses, and all others keep
	c.await(t, n-1, 3)
	require.Empty(t, c.history(t).Rejected)
	c.write(t, 4) // which all refuse
	require.Eventually(t, func() bool { return len(c.history(t).Rejected) == 1 }, time.Minute, 10*time.Millisecond)
	c.write(t, 5)
	c.await(t, n, 5)
	view := c.history(t)
	require.Contains(t, view.Versions[1].Origin, "automatic rollback: digits ")
	require.Equal(t, "folder", view.Versions[0].Origin)
}

// BenchmarkFleet is a change, from the file's writing to the last sidecar's
// acknowledgement, and a rollback, from the order on. fridayd waits 50 ms for the
// folder to be still.
func BenchmarkFleet(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := fleet(b, n, nil)
			memory, cpu := c.fridayd.Memory(), c.fridayd.CPU()
			var back time.Duration
			timeout := 1
			b.ResetTimer()
			for range b.N {
				timeout++
				c.write(b, timeout)
				c.await(b, n, timeout)
				b.StopTimer()
				start := time.Now()
				c.post(b, "/rollback")
				c.await(b, n, timeout-1)
				back += time.Since(start)
				c.post(b, "/release")
				c.await(b, n, timeout)
				b.StartTimer()
			}
			b.StopTimer()
			b.ReportMetric(float64(c.connected.Milliseconds()), "connect-ms")
			b.ReportMetric(float64(memory)/(1<<20), "MiB")
			b.ReportMetric(float64(back.Milliseconds())/float64(b.N), "rollback-ms")
			b.ReportMetric(float64((c.fridayd.CPU()-cpu).Milliseconds())/float64(3*b.N), "cpu-ms/push")
			b.ReportMetric(float64(c.fridayd.Memory())/(1<<20), "MiB-after")
		})
	}
}
