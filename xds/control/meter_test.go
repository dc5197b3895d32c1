package control

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const exposed = `# HELP friday_requests_total Requests answered.
# TYPE friday_requests_total counter
friday_requests_total{cluster="a.blue",code="200",protocol="HTTP/1.1",route="a"} 90
friday_requests_total{cluster="a.blue",code="503",protocol="HTTP/1.1",route="a"} 7
friday_requests_total{cluster="a.blue",code="404",protocol="HTTP/2",route="a/v1"} 3
friday_requests_total{cluster="a.green",code="200",protocol="HTTP/1.1",route="a"} 1
# TYPE friday_request_seconds histogram
friday_request_seconds_bucket{cluster="a.blue",route="a",le="0.01"} 50
friday_request_seconds_bucket{cluster="a.blue",route="a",le="0.1"} 90
friday_request_seconds_bucket{cluster="a.blue",route="a",le="+Inf"} 100
friday_request_seconds_sum{cluster="a.blue",route="a"} 3
friday_request_seconds_count{cluster="a.blue",route="a"} 100
`

func TestSamples(t *testing.T) {
	got, err := samples(strings.NewReader(exposed))
	require.NoError(t, err)
	blue := got["a.blue"]
	require.EqualValues(t, 100, blue.Requests)
	require.EqualValues(t, 7, blue.Errors)
	require.InDelta(t, .07, blue.rate(), 1e-9)
	require.InDelta(t, .01, blue.quantile(.5), 1e-9)
	require.InDelta(t, .0775, blue.quantile(.8), 1e-9)
	require.InDelta(t, .1, blue.quantile(.99), 1e-9, "beyond the last bound nothing is known")
	require.EqualValues(t, 1, got["a.green"].Requests)
	require.Zero(t, got["a.green"].quantile(.5))
	_, err = samples(strings.NewReader("friday_requests_total{ 1"))
	require.Error(t, err)
	_, err = samples(strings.NewReader("# TYPE friday_requests_total counter\nfriday_requests_total NaN\n"))
	require.ErrorContains(t, err, "not a count")
}

// FuzzSamples: whatever a sidecar answers, it is counts or an error.
func FuzzSamples(f *testing.F) {
	f.Add(exposed)
	f.Add("friday_request_seconds_bucket{le=\"x\"} 1e400")
	f.Fuzz(func(_ *testing.T, text string) {
		list, err := samples(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, s := range list {
			_, _ = s.rate(), s.quantile(.99)
		}
	})
}

func TestSince(t *testing.T) {
	before := Reading{Nodes: map[string]map[string]Sample{
		"a": {"blue": {Requests: 10, Errors: 2, Buckets: map[float64]uint64{1: 10}}},
		"b": {"blue": {Requests: 50, Errors: 9, Buckets: map[float64]uint64{1: 50}}},
	}}
	now := Reading{Nodes: map[string]map[string]Sample{
		"a": {"blue": {Requests: 15, Errors: 3, Buckets: map[float64]uint64{1: 15}}, "green": {Requests: 4}},
		"b": {"blue": {Requests: 3, Errors: 1, Buckets: map[float64]uint64{1: 3}}}, // started anew
		"c": {"blue": {Requests: 99}},                                              // nobody knows since when
	}}
	require.Equal(t, Sample{Requests: 8, Errors: 2, Buckets: map[float64]uint64{1: 8}}, now.since(before, []string{"blue"}))
	require.EqualValues(t, 12, now.since(before, []string{"blue", "green"}).Requests)
}

func TestMetricsAddress(t *testing.T) {
	for _, c := range [][3]string{
		{"10.0.0.1", "", "10.0.0.1:19001"},
		{"10.0.0.1", "127.0.0.1:19000", "10.0.0.1:19001"},
		{"127.0.0.1", "127.0.0.1:29000", "127.0.0.1:29000"},
		{"127.0.0.1", "", "127.0.0.1:19001"},
		{"10.0.0.1", ":9", "10.0.0.1:9"},
		{"10.0.0.1", "0.0.0.0:9", "10.0.0.1:9"},
		{"10.0.0.1", "10.0.0.2:9", "10.0.0.2:9"},
		{"10.0.0.1", "metrics.example:9", "metrics.example:9"},
		{"fd00::1", "[::]:9", "[fd00::1]:9"},
		{"10.0.0.1", "nonsense", "10.0.0.1:19001"},
		{"", "", ""},
	} {
		require.Equal(t, c[2], metricsAddress(c[0], c[1]), "%q", c)
	}
}

func TestScraper(t *testing.T) {
	good := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(exposed))
	}))
	defer good.Close()
	bad := httptest.NewServer(http.NotFoundHandler())
	defer bad.Close()
	got := Scraper{}.Read(t.Context(), []Sidecar{
		{Key: "\x00a", Metrics: good.Listener.Addr().String()}, {Key: "\x00b", Metrics: bad.Listener.Addr().String()},
	})
	require.Equal(t, 2, got.Of)
	require.True(t, got.clear())
	require.EqualValues(t, 100, got.Nodes["\x00a"]["a.blue"].Requests)
	require.ErrorContains(t, got.Err, `node "b": http://`)
	require.ErrorContains(t, got.Err, "404")
	none := Scraper{}.Read(t.Context(), []Sidecar{{Key: "\x00a"}})
	require.ErrorIs(t, none.Err, errNoMetrics)
	require.False(t, none.clear())
}
