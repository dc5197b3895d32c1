package telemetry

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are all metrics of the sidecar. Times are in seconds, sizes in bytes.
type Metrics struct {
	// Requests counts the answered requests.
	Requests *prometheus.CounterVec // route, cluster, code, protocol
	// RequestSeconds is from the head read to the last byte of the answer written.
	RequestSeconds *prometheus.HistogramVec // route, cluster
	// Failures counts the requests that Friday answered itself, by Envoy's
	// response flag.
	Failures *prometheus.CounterVec // cluster, flag
	// DownstreamConnections is how many callers are connected.
	DownstreamConnections *prometheus.GaugeVec // listener
	// DownstreamActive is how many requests are being served.
	DownstreamActive *prometheus.GaugeVec // listener

	// DownstreamRefused counts the connections that were closed before they were
	// served, by why: no filter chain, a bad PROXY protocol header, nothing to inspect in
	// time.
	DownstreamRefused *prometheus.CounterVec // listener, reason
	// DownstreamTLS counts the handshakes with callers: full, resumed or failed.
	DownstreamTLS *prometheus.CounterVec // listener, result
	// UpstreamTLS counts the handshakes with endpoints, as DownstreamTLS does.
	UpstreamTLS *prometheus.CounterVec // cluster, result

	// TCPConnections counts the connections that were relayed as bytes, once they have
	// ended: ok, failed where no endpoint was reached, cut where a side broke off.
	TCPConnections *prometheus.CounterVec // listener, cluster, result
	// TCPActive is how many are being relayed.
	TCPActive *prometheus.GaugeVec // listener, cluster
	// TCPBytes counts the bytes relayed: sent to the cluster, or received from it.
	TCPBytes *prometheus.CounterVec // cluster, direction

	// UpstreamConnections counts the connections opened.
	UpstreamConnections *prometheus.CounterVec // cluster
	// UpstreamOpen is how many connections are open.
	UpstreamOpen *prometheus.GaugeVec // cluster
	// UpstreamPending is how many requests wait for a connection.
	UpstreamPending *prometheus.GaugeVec // cluster
	// UpstreamRequests counts the requests sent, by whether their connection had
	// served one before.
	UpstreamRequests *prometheus.CounterVec // cluster, reused
	// UpstreamRetries counts the requests sent once more.
	UpstreamRetries *prometheus.CounterVec // cluster, reason
	// UpstreamOverflow counts what a cluster's limits refused: requests, retries.
	UpstreamOverflow *prometheus.CounterVec // cluster, priority, limit
	// Dropped counts the requests dropped because the control plane asked for it.
	Dropped *prometheus.CounterVec // cluster, category

	// Endpoints is how many endpoints there are: healthy, degraded, unhealthy, ejected.
	Endpoints *prometheus.GaugeVec // cluster, state
	// Ejections counts the endpoints ejected by outlier detection, by why; overflow:
	// not ejected, for too many were away.
	Ejections *prometheus.CounterVec // cluster, reason
	// HealthChecks counts active health checks.
	HealthChecks *prometheus.CounterVec // cluster, result
	// Resolutions counts the lookups of endpoints' names.
	Resolutions *prometheus.CounterVec // cluster, result

	// BatchSize is the items of each upstream call of the batcher.
	BatchSize *prometheus.HistogramVec // cluster, model
	// BatchWait is how long each request waited in the batcher.
	BatchWait *prometheus.HistogramVec // cluster, model
	// BatchDispatch counts the upstream calls by why they were sent just then.
	BatchDispatch *prometheus.CounterVec // cluster, reason
	// BatchModel is what the batcher has learned: the terms a (fixed) and b (per
	// item) of the service time.
	BatchModel *prometheus.GaugeVec // cluster, model, term
	// BatchLimit is how many calls at once the batcher gives an endpoint; 0: any number.
	BatchLimit *prometheus.GaugeVec // cluster, model
	// BatchAside is 1 while the batcher stands aside.
	BatchAside *prometheus.GaugeVec // cluster, model
	// BatchQueued is how many items wait.
	BatchQueued *prometheus.GaugeVec // cluster
	// BatchQueuedLimit is how many may.
	BatchQueuedLimit *prometheus.GaugeVec // cluster
	// BatchFallback counts the requests that were batched and had to be sent
	// again in smaller parts, by why.
	BatchFallback *prometheus.CounterVec // cluster, reason
	// BatchUsage counts the requests that got a share of a call's token usage, by how
	// it was found: exact or proportional.
	BatchUsage *prometheus.CounterVec // cluster, kind

	// CacheLookups counts the requests that the cache has looked at: hit, miss, partial,
	// coalesced, bypass, stale.
	CacheLookups *prometheus.CounterVec // cluster, result
	// CacheItems counts their items: hit, miss, coalesced.
	CacheItems *prometheus.CounterVec // cluster, result
	// CacheSaved is what the server's computing took of what was answered again.
	CacheSaved *prometheus.CounterVec // cluster
	// CacheBytes is how much is kept.
	CacheBytes *prometheus.GaugeVec
	// CacheEvictions counts what had to go for want of room.
	CacheEvictions *prometheus.CounterVec
	// CacheSharedItems counts the items looked up in the shared store: hit, miss, late (not
	// in time), failed, down (not asked for, because the store cannot be used).
	CacheSharedItems *prometheus.CounterVec // address, result
	// CacheSharedWrites counts the items to be written there: stored, failed, dropped.
	CacheSharedWrites *prometheus.CounterVec // address, result
	// CacheSharedSeconds is how long look-ups there took.
	CacheSharedSeconds *prometheus.HistogramVec // address
	// CacheSharedUp is 1 while the shared store is used.
	CacheSharedUp *prometheus.GaugeVec // address

	// AdmissionRequests counts the requests that the admission filter has judged: admitted,
	// full (no room to wait), late (for the objective), gone (the caller), no_key,
	// unknown_key, requests_per_minute, tokens_per_minute.
	AdmissionRequests *prometheus.CounterVec // cluster, result
	// AdmissionTenants counts them by tenant: admitted or refused.
	AdmissionTenants *prometheus.CounterVec // tenant, result
	// AdmissionWait is how long each waited for room, or to be refused.
	AdmissionWait *prometheus.HistogramVec // cluster
	// AdmissionLimit is how many requests may be in flight, AdmissionInFlight how many
	// are, and AdmissionQueued how many wait.
	AdmissionLimit    *prometheus.GaugeVec // cluster
	AdmissionInFlight *prometheus.GaugeVec // cluster
	AdmissionQueued   *prometheus.GaugeVec // cluster
	// AdmissionShared counts what was asked of a server that counts limits for several
	// Fridays: counted, late, failed, or down, while it is not used. AdmissionSharedUp is 1
	// while it is.
	AdmissionShared   *prometheus.CounterVec // address, result
	AdmissionSharedUp *prometheus.GaugeVec   // address
	// AdmissionKeyReads counts how often a changed key file was read, or could not be:
	// read, failed.
	AdmissionKeyReads *prometheus.CounterVec // result
	// ModelState is 1 for the state that a model is in.
	ModelState *prometheus.GaugeVec // cluster, model, state
	// ModelVersion is 1 for the version that answers.
	ModelVersion *prometheus.GaugeVec // cluster, model, version
	// ModelLoads counts the attempts to bring a model up, by result: ok, failed.
	ModelLoads *prometheus.CounterVec // cluster, model, result
	// ModelLoadSeconds is how long fetching, loading and warming took: phase.
	ModelLoadSeconds *prometheus.HistogramVec // cluster, model, phase
	// ModelUnloads counts the models unloaded, by why: idle, room, replaced, removed.
	ModelUnloads *prometheus.CounterVec // cluster, model, reason
	// ModelHeld is how many requests wait for a model.
	ModelHeld *prometheus.GaugeVec // cluster
	// ModelHoldSeconds is how long requests waited that went on.
	ModelHoldSeconds *prometheus.HistogramVec // cluster, model
	// ModelRefused counts the requests refused instead of held: requests, bytes, timeout, failed.
	ModelRefused *prometheus.CounterVec // cluster, reason
	// ModelReplayed counts the requests sent again because the server was not ready.
	ModelReplayed *prometheus.CounterVec // cluster, model
	// ModelFetched counts the bytes of sources that were fetched.
	ModelFetched *prometheus.CounterVec // cluster, model

	// JobsEnded counts the jobs that have ended: completed, failed, expired, cancelled.
	JobsEnded *prometheus.CounterVec // status
	// JobsOpen is how many jobs have not ended, by where they stand.
	JobsOpen *prometheus.GaugeVec // status
	// JobLines counts what became of attempts at lines: completed, failed, retried,
	// stale (the lease had gone to somebody else), recovered (of a worker that is gone).
	JobLines *prometheus.CounterVec // result
	// Webhooks counts what became of tries to tell of jobs that have ended: delivered,
	// retried, gone or given_up.
	Webhooks *prometheus.CounterVec // result
	// PipelineRuns counts runs of pipelines, and attempts at those of jobs: completed or
	// failed; PipelineSeconds is how long they took.
	PipelineRuns    *prometheus.CounterVec   // pipeline, result
	PipelineSeconds *prometheus.HistogramVec // pipeline
	// JobLineFailures counts the lines that failed, by the last answer's status, or why there was none.
	JobLineFailures *prometheus.CounterVec // reason
	// JobLinesWaiting is how many lines have no result yet.
	JobLinesWaiting *prometheus.GaugeVec
	// JobLinesRunning is how many lines are being answered; JobLinesLimit how many may.
	JobLinesRunning, JobLinesLimit *prometheus.GaugeVec
	// JobsOldest is the age of the oldest job that has not ended.
	JobsOldest *prometheus.GaugeVec
	// JobsStoreErrors counts what the jobs' store has failed to do.
	JobsStoreErrors *prometheus.CounterVec

	// FirstChunk is from the request to the first chunk of a streamed answer.
	FirstChunk *prometheus.HistogramVec // cluster, model
	// ChunkGap is the time between two chunks of a streamed answer.
	ChunkGap *prometheus.HistogramVec // cluster, model
	// StreamsCancelled counts the streams whose caller left before the end.
	StreamsCancelled *prometheus.CounterVec // cluster, model
	// TokenUsage is the tokens that answers say they took. Its name, its labels but
	// the cluster's and its buckets are those of OpenTelemetry's conventions for
	// generative AI.
	TokenUsage *prometheus.HistogramVec // cluster, gen_ai_…: operation_name, provider_name, request_model, token_type
	// OperationSeconds is from a request of one of the APIs to the end of its answer,
	// FirstTokenSeconds to the first content of a stream, and OutputTokenSeconds how long
	// each further token of a stream took; all are named by OpenTelemetry as TokenUsage is.
	OperationSeconds   *prometheus.HistogramVec // cluster, gen_ai_…: operation_name, provider_name, request_model; error_type
	FirstTokenSeconds  *prometheus.HistogramVec // cluster, gen_ai_…
	OutputTokenSeconds *prometheus.HistogramVec // cluster, gen_ai_…

	// RBAC counts the decisions of rbac: rules is enforced or shadow, result allowed or
	// denied.
	RBAC *prometheus.CounterVec // rules, result
	// JWT counts the requests whose tokens jwt_authn has judged: allowed or denied.
	JWT *prometheus.CounterVec // result

	// XDSUpdates counts the responses of the control plane: result is accepted
	// or rejected.
	XDSUpdates *prometheus.CounterVec // type, result
	// XDSVersion is 1 for the version in force of each type.
	XDSVersion *prometheus.GaugeVec // type, version
	// XDSConnected is 1 while a stream to a control plane is open.
	XDSConnected *prometheus.GaugeVec // target
	// IdentityEnds is when the certificate ends that the control plane has issued.
	IdentityEnds *prometheus.GaugeVec
}

// fine resolves from 100 µs to a minute, as an inference needs.
func fine() []float64 {
	return []float64{
		.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60,
	}
}

// long resolves from 10 ms to half an hour, as loading a model needs.
func long() []float64 {
	return []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800}
}

// RegisterReady adds friday_ready, which asks at each scrape.
func RegisterReady(reg prometheus.Registerer, ready func() bool) {
	reg.MustRegister(prometheus.NewGaugeFunc(
		prometheus.GaugeOpts{Name: "friday_ready", Help: "1 while /ready answers 200."},
		func() float64 {
			if ready() {
				return 1
			}
			return 0
		},
	))
}

// New makes the metrics, or finds them where reg has them already, so that
// whoever shares a registry shares the metrics. It panics where reg holds others
// of the same names, which is a bug.
func New(reg prometheus.Registerer) *Metrics {
	c := func(name, help string, labels ...string) *prometheus.CounterVec {
		return register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels))
	}
	g := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return register(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels))
	}
	h := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return register(reg, prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels))
	}
	return &Metrics{
		Requests:              c("friday_requests_total", "Requests answered.", "route", "cluster", "code", "protocol"),
		RequestSeconds:        h("friday_request_seconds", "From the request's head to the last byte of its answer.", fine(), "route", "cluster"),
		Failures:              c("friday_request_failures_total", "Requests that Friday answered itself, by Envoy's response flag.", "cluster", "flag"),
		DownstreamConnections: g("friday_downstream_connections", "Callers connected.", "listener"),
		DownstreamActive:      g("friday_downstream_requests_active", "Requests being served.", "listener"),
		DownstreamRefused:     c("friday_downstream_connections_refused_total", "Connections closed before they were served, by why.", "listener", "reason"),
		DownstreamTLS:         c("friday_downstream_tls_handshakes_total", "TLS handshakes with callers.", "listener", "result"),
		UpstreamTLS:           c("friday_upstream_tls_handshakes_total", "TLS handshakes with endpoints.", "cluster", "result"),

		TCPConnections: c("friday_tcp_connections_total", "Connections relayed as bytes, by how they ended.", "listener", "cluster", "result"),
		TCPActive:      g("friday_tcp_connections_active", "Connections being relayed as bytes.", "listener", "cluster"),
		TCPBytes:       c("friday_tcp_bytes_total", "Bytes relayed, sent to or received from a cluster.", "cluster", "direction"),

		UpstreamConnections: c("friday_upstream_connections_total", "Connections opened to endpoints.", "cluster"),
		UpstreamOpen:        g("friday_upstream_connections_open", "Connections open to endpoints.", "cluster"),
		UpstreamPending:     g("friday_upstream_requests_pending", "Requests waiting for a connection.", "cluster"),
		UpstreamRequests:    c("friday_upstream_requests_total", "Requests sent to endpoints, by whether the connection had served one before.", "cluster", "reused"),
		UpstreamRetries:     c("friday_upstream_retries_total", "Requests sent once more.", "cluster", "reason"),
		UpstreamOverflow:    c("friday_upstream_overflow_total", "Requests and retries that a cluster's limits refused.", "cluster", "priority", "limit"),
		Dropped:             c("friday_upstream_dropped_total", "Requests dropped because the control plane asked for it.", "cluster", "category"),

		Endpoints:    g("friday_endpoints", "Endpoints by state: healthy, degraded, unhealthy, ejected.", "cluster", "state"),
		Ejections:    c("friday_endpoint_ejections_total", "Endpoints ejected by outlier detection, by why.", "cluster", "reason"),
		HealthChecks: c("friday_health_checks_total", "Active health checks, by result.", "cluster", "result"),
		Resolutions:  c("friday_dns_resolutions_total", "Lookups of endpoints' names, by result.", "cluster", "result"),

		BatchSize:        h("friday_batch_size", "Items in an upstream call of the batcher.", []float64{1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 128, 256, 1024}, "cluster", "model"),
		BatchWait:        h("friday_batch_wait_seconds", "Time that a request waited in the batcher.", fine(), "cluster", "model"),
		BatchDispatch:    c("friday_batch_dispatch_total", "Upstream calls of the batcher, by why they were sent just then.", "cluster", "reason"),
		BatchModel:       g("friday_batch_model_seconds", "Learned service time: term a is fixed, term b is per item.", "cluster", "model", "term"),
		BatchLimit:       g("friday_batch_in_flight_limit", "Calls at once that the batcher gives an endpoint; 0: any number.", "cluster", "model"),
		BatchAside:       g("friday_batch_aside", "1 while the batcher stands aside, because batching does not pay.", "cluster", "model"),
		BatchQueued:      g("friday_batch_queued_items", "Items waiting in the batcher.", "cluster"),
		BatchQueuedLimit: g("friday_batch_queued_items_limit", "Items that may wait in the batcher.", "cluster"),
		BatchFallback:    c("friday_batch_fallback_total", "Batches sent again in smaller parts, by why.", "cluster", "reason"),
		BatchUsage:       c("friday_batch_usage_total", "Requests that got a share of a call's token usage, by how it was found.", "cluster", "kind"),

		CacheLookups:   c("friday_cache_lookups_total", "Requests that the cache has looked at, by what became of them.", "cluster", "result"),
		CacheItems:     c("friday_cache_items_total", "Items that the cache was asked for, by where they came from.", "cluster", "result"),
		CacheSaved:     c("friday_cache_saved_seconds_total", "Time that the server took for what was answered from the cache.", "cluster"),
		CacheBytes:     g("friday_cache_bytes", "Bytes that the cache holds."),
		CacheEvictions: c("friday_cache_evictions_total", "Answers dropped from the cache to make room."),

		CacheSharedItems:   c("friday_cache_shared_items_total", "Items looked up in the cache's shared store, by what became of them.", "address", "result"),
		CacheSharedWrites:  c("friday_cache_shared_writes_total", "Items to be written to the cache's shared store, by what became of them.", "address", "result"),
		CacheSharedSeconds: h("friday_cache_shared_seconds", "Time that a look-up in the cache's shared store took.", fine(), "address"),
		CacheSharedUp:      g("friday_cache_shared_up", "1 while the cache's shared store is used.", "address"),
		ModelState:         g("friday_model_state", "1 for the state that a model is in.", "cluster", "model", "state"),
		ModelVersion:       g("friday_model_version_info", "1 for the version of a model that answers.", "cluster", "model", "version"),
		ModelLoads:         c("friday_model_loads_total", "Attempts to bring a model up, by what became of them.", "cluster", "model", "result"),
		ModelLoadSeconds:   h("friday_model_load_seconds", "Time that bringing a model up took, by phase: fetching, loading, warming.", long(), "cluster", "model", "phase"),
		ModelUnloads:       c("friday_model_unloads_total", "Models unloaded, by why.", "cluster", "model", "reason"),
		ModelHeld:          g("friday_model_held_requests", "Requests waiting for a model.", "cluster"),
		ModelHoldSeconds:   h("friday_model_hold_seconds", "Time that requests waited for a model before they went on.", long(), "cluster", "model"),
		ModelRefused:       c("friday_model_refused_total", "Requests refused instead of held, by why.", "cluster", "reason"),
		ModelReplayed:      c("friday_model_replayed_total", "Requests sent again because the server was not ready.", "cluster", "model"),
		ModelFetched:       c("friday_model_fetched_bytes_total", "Bytes of models' sources fetched.", "cluster", "model"),
		JobsEnded:          c("friday_jobs_total", "Jobs that have ended, by how.", "status"),
		JobsOpen:           g("friday_jobs_open", "Jobs that have not ended, by where they stand.", "status"),
		Webhooks:           c("friday_webhooks_total", "Tries to tell of a job's end by webhook, by what became of them.", "result"),
		PipelineRuns:       c("friday_pipeline_runs_total", "Runs of pipelines, and attempts at those of jobs, by what became of them.", "pipeline", "result"),
		PipelineSeconds:    h("friday_pipeline_seconds", "Time that a run of a pipeline took.", long(), "pipeline"),
		JobLines:           c("friday_job_lines_total", "Attempts at lines of jobs, by what became of them.", "result"),
		JobLineFailures:    c("friday_job_line_failures_total", "Lines that failed, by the last answer's status, or why there was none.", "reason"),
		JobLinesWaiting:    g("friday_job_lines_waiting", "Lines without a result yet."),
		JobLinesRunning:    g("friday_job_lines_running", "Lines being answered."),
		JobLinesLimit:      g("friday_job_lines_limit", "Lines that may be answered at once."),
		JobsOldest:         g("friday_jobs_oldest_seconds", "Age of the oldest job that has not ended."),
		JobsStoreErrors:    c("friday_jobs_store_errors_total", "What the jobs' store has failed to do."),

		AdmissionRequests: c("friday_admission_requests_total", "Requests that the admission filter has judged, by what became of them.", "cluster", "result"),
		AdmissionTenants:  c("friday_admission_tenant_requests_total", "Requests that were admitted or refused, by tenant.", "tenant", "result"),
		AdmissionWait:     h("friday_admission_wait_seconds", "Time that a request waited to be admitted or refused.", fine(), "cluster"),
		AdmissionLimit:    g("friday_admission_concurrency_limit", "Requests that may be in flight at once.", "cluster"),
		AdmissionInFlight: g("friday_admission_in_flight", "Requests admitted whose answers have not ended.", "cluster"),
		AdmissionQueued:   g("friday_admission_queued", "Requests waiting to be admitted.", "cluster"),
		AdmissionShared:   c("friday_admission_shared_total", "Questions to the server that counts limits for several Fridays, by what became of them.", "address", "result"),
		AdmissionSharedUp: g("friday_admission_shared_up", "1 while limits are counted at that server, 0 while each Friday counts for itself.", "address"),
		AdmissionKeyReads: c("friday_admission_key_file_reads_total", "Changed key files, by whether they could be read.", "result"),

		FirstChunk:       h("friday_stream_first_chunk_seconds", "From the request to the first chunk of a streamed answer.", fine(), "cluster", "model"),
		ChunkGap:         h("friday_stream_chunk_gap_seconds", "Time between two chunks of a streamed answer.", fine(), "cluster", "model"),
		StreamsCancelled: c("friday_streams_cancelled_total", "Streams whose caller left before the end.", "cluster", "model"),
		TokenUsage: h("gen_ai_client_token_usage", "Tokens that answers say they took, input and output.", prometheus.ExponentialBuckets(1, 4, 14),
			"cluster", "gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_token_type"),
		OperationSeconds: h("gen_ai_client_operation_duration_seconds", "From a request of a generating or embedding API to the end of its answer.", prometheus.ExponentialBuckets(.01, 2, 14),
			"cluster", "gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "error_type"),
		FirstTokenSeconds: h("gen_ai_server_time_to_first_token_seconds", "From a request to the first content of its streamed answer.",
			[]float64{.001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10},
			"cluster", "gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model"),
		OutputTokenSeconds: h("gen_ai_server_time_per_output_token_seconds", "Time for each output token of a streamed answer after the first.",
			[]float64{.01, .025, .05, .075, .1, .15, .2, .3, .4, .5, .75, 1, 2.5},
			"cluster", "gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model"),

		JWT:  c("friday_jwt_decisions_total", "Requests whose tokens jwt_authn has judged.", "result"),
		RBAC: c("friday_rbac_decisions_total", "Decisions of the rbac filter; shadow rules only count.", "rules", "result"),

		XDSUpdates:   c("friday_xds_updates_total", "Responses of the control plane, by what became of them.", "type", "result"),
		XDSVersion:   g("friday_xds_version_info", "1 for the version in force.", "type", "version"),
		XDSConnected: g("friday_xds_connected", "1 while a stream to the control plane is open.", "target"),
		IdentityEnds: g("friday_identity_end_timestamp_seconds", "When the certificate ends that the control plane has issued."),
	}
}

func register[C prometheus.Collector](reg prometheus.Registerer, c C) C {
	err := reg.Register(c)
	if are, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		return are.ExistingCollector.(C) //nolint:forcetypeassert // same name and labels, made here
	}
	if err != nil {
		panic(err)
	}
	return c
}
