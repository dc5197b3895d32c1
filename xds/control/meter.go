package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"golang.org/x/sync/errgroup"
)

// MetricsKey is the member of node.metadata that says where a sidecar's metrics
// are: HOST:PORT, or :PORT at the address that it connects from.
const MetricsKey = "friday.dev/metrics"

// DefaultMetricsPort is where a sidecar's metrics are unless it says otherwise.
const DefaultMetricsPort = 19001

// Meter reads the sidecars' metrics.
type Meter interface {
	// Read returns when every sidecar has answered or has had its time.
	Read(ctx context.Context, from []Sidecar) Reading
}

// Sidecar is one whose metrics are to be read.
type Sidecar struct {
	// Key tells sidecars apart; Metrics is host:port, empty where it is not known.
	Key, Metrics string
}

// Reading is what sidecars have counted since they were started.
type Reading struct {
	// Nodes is by sidecar and cluster; of those that could be read.
	Nodes map[string]map[string]Sample
	// Of is how many were asked, Err what was wrong with the first that could not
	// be read.
	Of  int
	Err error
}

// Sample is what was counted of requests to a cluster.
type Sample struct {
	Requests, Errors uint64
	// Buckets are cumulative, by their upper bounds in seconds.
	Buckets map[float64]uint64
}

// clear says whether a reading tells enough: at least half of the sidecars.
func (r Reading) clear() bool { return 2*len(r.Nodes) >= r.Of }

// since is what was counted of clusters after an earlier reading, by the sidecars
// that were in both. Who has been started anew has counted from 0.
func (r Reading) since(before Reading, clusters []string) Sample {
	sum := Sample{Buckets: map[float64]uint64{}}
	for key, now := range r.Nodes {
		then, both := before.Nodes[key]
		if !both {
			continue
		}
		for _, cluster := range clusters {
			n, t := now[cluster], then[cluster]
			if n.Requests < t.Requests {
				t = Sample{}
			}
			sum.Requests += n.Requests - t.Requests
			sum.Errors += n.Errors - min(t.Errors, n.Errors)
			for bound, count := range n.Buckets {
				sum.Buckets[bound] += count - min(t.Buckets[bound], count)
			}
		}
	}
	return sum
}

func (s Sample) rate() float64 {
	if s.Requests == 0 {
		return 0
	}
	return float64(s.Errors) / float64(s.Requests)
}

// quantile is in seconds, within a bucket on the line between its bounds.
func (s Sample) quantile(q float64) float64 {
	bounds := slices.Sorted(maps.Keys(s.Buckets))
	if len(bounds) == 0 {
		return 0
	}
	rank := q * float64(s.Buckets[bounds[len(bounds)-1]])
	lower, below := 0., 0.
	for _, bound := range bounds {
		count := float64(s.Buckets[bound])
		if count >= rank && count > below {
			if math.IsInf(bound, 1) {
				return lower
			}
			return lower + (bound-lower)*(rank-below)/(count-below)
		}
		lower, below = bound, count
	}
	return lower
}

func list(names []string) string { return strings.Join(names, ", ") }

// sidecars are those that a policy is for.
func (s *Server) sidecars(policyName string) []Sidecar {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Sidecar
	for key, n := range s.nodes {
		if slices.ContainsFunc(n.policies, func(p *Compiled) bool { return p.Name() == policyName }) {
			list = append(list, Sidecar{Key: key, Metrics: metricsAddress(n.address, n.Metadata[MetricsKey])})
		}
	}
	return list
}

// metricsAddress is where a sidecar's metrics are. A loopback address is only
// taken from who is on this host: from elsewhere it would be this host's.
func metricsAddress(peer, said string) string {
	host, port, err := net.SplitHostPort(said)
	if err != nil {
		host, port = "", strconv.Itoa(DefaultMetricsPort)
	}
	here, _ := netip.ParseAddr(peer)
	if there, err := netip.ParseAddr(host); err == nil && (there.IsUnspecified() || there.IsLoopback() && !here.IsLoopback()) {
		if there.IsLoopback() {
			port = strconv.Itoa(DefaultMetricsPort)
		}
		host = ""
	}
	if host == "" {
		host = peer
	}
	if host == "" {
		return ""
	}
	return net.JoinHostPort(host, port)
}

// The sidecar's metrics that a shift is judged by.
const (
	requestsMetric = "friday_requests_total"
	secondsMetric  = "friday_request_seconds"
)

const (
	readTimeout  = 2 * time.Second // of one
	readsTimeout = 10 * time.Second
	readAtOnce   = 32
	maxScrape    = 32 << 20
	serverErrors = "5" // the first digit of their codes
)

// Scraper is a Meter over HTTP. It keeps connections to no sidecar.
type Scraper struct{}

var _ Meter = Scraper{}

// Read reads /metrics of each.
func (Scraper) Read(ctx context.Context, from []Sidecar) Reading {
	ctx, cancel := context.WithTimeout(ctx, readsTimeout)
	defer cancel()
	client := &http.Client{Timeout: readTimeout, Transport: &http.Transport{DisableKeepAlives: true, Proxy: nil}}
	out := Reading{Nodes: map[string]map[string]Sample{}, Of: len(from)}
	var (
		mu sync.Mutex
		g  errgroup.Group
	)
	g.SetLimit(readAtOnce)
	for _, s := range from {
		g.Go(func() error {
			clusters, err := scrape(ctx, client, s.Metrics)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				out.Nodes[s.Key] = clusters
			} else if out.Err == nil {
				_, id, _ := strings.Cut(s.Key, "\x00")
				out.Err = fmt.Errorf("node %q: %w", id, err)
			}
			return nil
		})
	}
	_ = g.Wait() // the errors are in out
	return out
}

func scrape(ctx context.Context, client *http.Client, address string) (map[string]Sample, error) {
	if address == "" {
		return nil, errNoMetrics
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // it was read only
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("http://%s/metrics: %s", address, resp.Status)
	}
	return samples(io.LimitReader(resp.Body, maxScrape))
}

// samples reads a sidecar's metrics, by cluster.
func samples(text io.Reader) (map[string]Sample, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(text)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	out := map[string]Sample{}
	for _, m := range families[requestsMetric].GetMetric() {
		s := out[label(m, "cluster")]
		n := m.GetCounter().GetValue()
		if !(n >= 0 && n < math.MaxInt64) {
			return nil, errors.New("metrics: " + requestsMetric + ": not a count")
		}
		s.Requests += uint64(n)
		if strings.HasPrefix(label(m, "code"), serverErrors) {
			s.Errors += uint64(n)
		}
		out[label(m, "cluster")] = s
	}
	for _, m := range families[secondsMetric].GetMetric() {
		s := out[label(m, "cluster")]
		if s.Buckets == nil {
			s.Buckets = map[float64]uint64{}
		}
		for _, b := range m.GetHistogram().GetBucket() {
			s.Buckets[b.GetUpperBound()] += b.GetCumulativeCount()
		}
		out[label(m, "cluster")] = s
	}
	return out, nil
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}
