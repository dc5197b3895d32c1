package standin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
)

// Stats is what the server has done, as /stats tells it. Those that count up
// never go down; compare two with Sub.
type Stats struct {
	// Calls and Items were run by the accelerator to the end; Batches says how
	// many of the calls had how many items (4096 stands for that and more).
	Calls   uint64         `json:"calls"`
	Items   uint64         `json:"items"`
	Batches map[int]uint64 `json:"batches"`
	// Failed calls were answered with 400 or 500.
	Failed uint64 `json:"failed"`
	// Cancelled counts the calls whose caller left before the answer's end.
	Cancelled uint64 `json:"cancelled"`
	// Chunks counts the tokens streamed, Completed the streams that ended.
	Chunks    uint64 `json:"chunks"`
	Completed uint64 `json:"completed"`
	// Connections were accepted.
	Connections uint64 `json:"connections"`

	// Active calls are being served just now, of which Queued wait for the
	// accelerator, Hung will never be answered, Thinking have not made their
	// first token and Streams are making tokens.
	Active   int64 `json:"active"`
	Queued   int64 `json:"queued"`
	Hung     int64 `json:"hung"`
	Thinking int64 `json:"thinking"`
	Streams  int64 `json:"streams"`
	// OpenConnections are open, the asker's own included.
	OpenConnections int64 `json:"open_connections"`
}

// Sub returns what happened between before and s; the figures of the moment are
// those of s.
func (s Stats) Sub(before Stats) Stats {
	d := s
	d.Calls -= before.Calls
	d.Items -= before.Items
	d.Failed -= before.Failed
	d.Cancelled -= before.Cancelled
	d.Chunks -= before.Chunks
	d.Completed -= before.Completed
	d.Connections -= before.Connections
	d.Batches = make(map[int]uint64)
	for size, n := range s.Batches {
		if n -= before.Batches[size]; n > 0 {
			d.Batches[size] = n
		}
	}
	return d
}

// MeanBatch is items per call, 0 where there was none.
func (s Stats) MeanBatch() float64 {
	if s.Calls == 0 {
		return 0
	}
	return float64(s.Items) / float64(s.Calls)
}

// maxCounted is the largest batch size with a count of its own.
const maxCounted = 4096

// counters are Stats as they are counted. All are atomic.
type counters struct {
	calls, items, failed, cancelled atomic.Uint64
	chunks, completed, connections  atomic.Uint64
	active, thinking, streams, open atomic.Int64
	hung                            atomic.Int64
	sizes                           [maxCounted + 1]atomic.Uint64
}

func (c *counters) call(items int) {
	c.calls.Add(1)
	c.items.Add(uint64(items)) // #nosec G115 -- a count is never negative
	c.sizes[min(items, maxCounted)].Add(1)
}

// Stats is what /stats tells.
func (s *Server) Stats() Stats {
	c := &s.counters
	st := Stats{
		Calls: c.calls.Load(), Items: c.items.Load(), Batches: make(map[int]uint64),
		Failed: c.failed.Load(), Cancelled: c.cancelled.Load(),
		Chunks: c.chunks.Load(), Completed: c.completed.Load(), Connections: c.connections.Load(),
		Active: c.active.Load(), Queued: s.accelerator.queued.Load(), Hung: c.hung.Load(),
		Thinking: c.thinking.Load(), Streams: c.streams.Load(), OpenConnections: c.open.Load(),
	}
	for size := range c.sizes {
		if n := c.sizes[size].Load(); n > 0 {
			st.Batches[size] = n
		}
	}
	return st
}

// appendMetrics writes Prometheus's text format.
func (s Stats) appendMetrics(dst []byte) []byte {
	for _, m := range []struct {
		name, kind string
		value      uint64
	}{
		{"standin_calls_total", "counter", s.Calls},
		{"standin_items_total", "counter", s.Items},
		{"standin_failed_total", "counter", s.Failed},
		{"standin_cancelled_total", "counter", s.Cancelled},
		{"standin_chunks_total", "counter", s.Chunks},
		{"standin_connections_total", "counter", s.Connections},
		{"standin_active", "gauge", uint64(max(0, s.Active))},
		{"standin_queued", "gauge", uint64(max(0, s.Queued))},
		{"standin_streams", "gauge", uint64(max(0, s.Streams))},
		{"standin_thinking", "gauge", uint64(max(0, s.Thinking))},
	} {
		dst = append(dst, "# TYPE "+m.name+" "+m.kind+"\n"+m.name+" "...)
		dst = strconv.AppendUint(dst, m.value, 10)
		dst = append(dst, '\n')
	}
	return dst
}

// FetchStats asks the server at address (host:port) for its Stats.
func FetchStats(ctx context.Context, address string) (Stats, error) {
	var st Stats
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/stats", nil)
	if err != nil {
		return st, fmt.Errorf("stats of %s: %w", address, err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return st, fmt.Errorf("stats of %s: %w", address, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", resp.StatusCode)
	}
	if err == nil {
		err = json.Unmarshal(body, &st)
	}
	if err != nil {
		return st, fmt.Errorf("stats of %s: %w", address, err)
	}
	return st, nil
}
