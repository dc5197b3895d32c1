package telemetry

// The fields of log lines. Every package uses these names, so that one query
// finds a listener's or a cluster's story in all of them.
const (
	FieldListener = "listener"
	FieldRoute    = "route"
	FieldCluster  = "cluster"
	FieldEndpoint = "endpoint"
	FieldModel    = "model"
	FieldResource = "resource"
	FieldType     = "type"
	FieldVersion  = "version"

	// The access log's.
	fieldMethod    = "method"
	fieldPath      = "path"
	fieldAuthority = "authority"
	fieldProtocol  = "protocol"
	fieldStatus    = "status"
	fieldFlag      = "response_flag"
	fieldDetail    = "detail"
	fieldReceived  = "bytes_received"
	fieldSent      = "bytes_sent"
	fieldDuration  = "duration_ms"
	fieldRemote    = "downstream_address"
	fieldUpstream  = "upstream_address"
	fieldAttempts  = "upstream_attempts"
	fieldBatch     = "batch_size"
	fieldQueued    = "queue_ms"
	fieldRequestID = "request_id"
	fieldTraceID   = "trace_id"
)
