package dashboard

import (
	"math"
	"slices"
)

// A panel is nil where its metrics are not there: nothing of the kind has happened.

type traffic struct {
	Requests, Seconds group
	// Erred is the share of answers with a status of 500 and more.
	Erred, Active float64
	Routes        []route
	Failures      []failure
}

type route struct {
	Route, Cluster  string
	Requests, Times *group
	Erred           float64
}

// failure is requests that Friday answered itself, or could not finish.
type failure struct {
	*group
	Cluster, Flag, Words string
}

func trafficOf(f *figures) *traffic {
	if !f.has("friday_requests_total") && !f.has("friday_request_failures_total") {
		return nil
	}
	t := &traffic{
		Requests: f.sum("friday_requests_total"), Seconds: f.sum("friday_request_seconds"),
		Active: f.sum("friday_downstream_requests_active").Value,
	}
	erred := make(map[[2]string]float64)
	all := 0.0
	for _, g := range f.by("friday_requests_total", "route", "cluster", "code") {
		if code := g.Labels[2]; len(code) == 3 && code[0] == '5' {
			erred[[2]string{g.Labels[0], g.Labels[1]}] += g.Grown
			all += g.Grown
		}
	}
	t.Erred = all / t.Requests.Grown
	times := byLabels(f.by("friday_request_seconds", "route", "cluster"))
	for _, g := range busiest(f.by("friday_requests_total", "route", "cluster")) {
		key := [2]string{g.Labels[0], g.Labels[1]}
		t.Routes = append(t.Routes, route{key[0], key[1], g, times(key[0], key[1]), erred[key] / g.Grown})
	}
	for _, g := range busiest(f.by("friday_request_failures_total", "cluster", "flag")) {
		t.Failures = append(t.Failures, failure{g, g.Labels[0], g.Labels[1], flagWords(g.Labels[1])})
	}
	return t
}

type cache struct {
	// Given is the share of items that were answered without the server.
	Given                float64
	Items, Saved, Gone   group
	Bytes                float64
	Clusters             []cached
	Stores               []store
	Hit, Coalesced, Miss float64 // items
}

type cached struct {
	Cluster                                      string
	Hit, Partial, Coalesced, Stale, Miss, Bypass float64 // requests
	// Given is the share of items that were answered without the server, Saved what it had taken
	// for them, in seconds.
	Given, Saved float64
}

// store is one that several sidecars share.
type store struct {
	Address              string
	Up                   bool
	Hit, Miss, Late, Bad float64
	Times                *group
}

func cacheOf(f *figures) *cache {
	if !f.has("friday_cache_lookups_total") && !f.has("friday_cache_shared_up") {
		return nil
	}
	items := func(result string) float64 { return f.sum("friday_cache_items_total", "result", result).Grown }
	c := &cache{
		Items: f.sum("friday_cache_items_total"), Saved: f.sum("friday_cache_saved_seconds_total"),
		Gone: f.sum("friday_cache_evictions_total"), Bytes: f.sum("friday_cache_bytes").Value,
		Hit: items("hit"), Coalesced: items("coalesced"), Miss: items("miss"),
	}
	c.Given = (c.Hit + c.Coalesced) / c.Items.Grown
	parts := byLabels(f.by("friday_cache_items_total", "cluster", "result"))
	saved := byLabels(f.by("friday_cache_saved_seconds_total", "cluster"))
	look := byLabels(f.by("friday_cache_lookups_total", "cluster", "result"))
	for _, g := range busiest(f.by("friday_cache_lookups_total", "cluster")) {
		n := g.Labels[0]
		given := parts(n, "hit").Grown + parts(n, "coalesced").Grown
		c.Clusters = append(c.Clusters, cached{
			n, look(n, "hit").Grown, look(n, "partial").Grown, look(n, "coalesced").Grown, look(n, "stale").Grown,
			look(n, "miss").Grown, look(n, "bypass").Grown, given / (given + parts(n, "miss").Grown), saved(n).Grown,
		})
	}
	shared := byLabels(f.by("friday_cache_shared_items_total", "address", "result"))
	times := byLabels(f.by("friday_cache_shared_seconds", "address"))
	for _, g := range f.by("friday_cache_shared_up", "address") {
		a := g.Labels[0]
		c.Stores = append(c.Stores, store{
			a, g.Value == 1, shared(a, "hit").Grown, shared(a, "miss").Grown, shared(a, "late").Grown,
			shared(a, "failed").Grown + shared(a, "down").Grown + shared(a, "broken").Grown, times(a),
		})
	}
	return c
}

type streams struct {
	First, Gaps group
	In, Out     float64 // tokens a second
	Models      []streamed
}

type streamed struct {
	Cluster, Model         string
	First, Gaps, Cancelled *group
	Out                    float64
}

const tokens = "gen_ai_client_token_usage" // #nosec G101 -- a metric

func streamsOf(f *figures) *streams {
	if !f.has("friday_stream_first_chunk_seconds") && !f.has(tokens) {
		return nil
	}
	second := func(g *group) float64 { return g.histogram.sum / f.window.Seconds() }
	in, out := f.sum(tokens, "gen_ai_token_type", "input"), f.sum(tokens, "gen_ai_token_type", "output")
	s := &streams{
		First: f.sum("friday_stream_first_chunk_seconds"), Gaps: f.sum("friday_stream_chunk_gap_seconds"),
		In: second(&in), Out: second(&out),
	}
	gaps := byLabels(f.by("friday_stream_chunk_gap_seconds", "cluster", "model"))
	gone := byLabels(f.by("friday_streams_cancelled_total", "cluster", "model"))
	used := byLabels(f.by(tokens, "cluster", "gen_ai_request_model", "gen_ai_token_type"))
	for _, g := range busiest(f.by("friday_stream_first_chunk_seconds", "cluster", "model")) {
		c, m := g.Labels[0], g.Labels[1]
		if g.Value == 0 && gaps(c, m).Value == 0 && used(c, m, "output").Value == 0 {
			continue // answered, but never in a stream
		}
		s.Models = append(s.Models, streamed{c, m, g, gaps(c, m), gone(c, m), second(used(c, m, "output"))})
	}
	return s
}

type jobs struct {
	Waiting, Running, Limit, Oldest float64
	Lines                           group
	Failed                          float64
	Open, Ended, Results, Reasons   []*group
	StoreErrors                     float64
}

func jobsOf(f *figures) *jobs {
	if !f.has("friday_jobs_oldest_seconds") {
		return nil
	}
	some := func(groups []*group) []*group {
		return slices.DeleteFunc(groups, func(g *group) bool { return g.Value == 0 })
	}
	j := &jobs{
		Waiting: f.sum("friday_job_lines_waiting").Value, Running: f.sum("friday_job_lines_running").Value,
		Limit: f.sum("friday_job_lines_limit").Value, Oldest: f.sum("friday_jobs_oldest_seconds").Value,
		Lines: f.sum("friday_job_lines_total", "result", "completed"), StoreErrors: f.sum("friday_jobs_store_errors_total").Value,
		Open: some(f.by("friday_jobs_open", "status")), Ended: some(f.by("friday_jobs_total", "status")),
		Results: some(busiest(f.by("friday_job_lines_total", "result"))), Reasons: some(busiest(f.by("friday_job_line_failures_total", "reason"))),
	}
	failed := f.sum("friday_job_lines_total", "result", "failed")
	j.Failed = failed.Grown / (failed.Grown + j.Lines.Grown)
	return j
}

// known says that v is a number.
func known(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
